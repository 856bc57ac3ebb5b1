// The kernels around the engines: from a camera's frame to tiles, Adam, and from tiles to scores and the anomaly map.
//
// NVRTC compiles this file for the station's GPU, and g++ compiles it for the tests. So it has no #include and uses
// nothing but the language, warp shuffles and barriers. `real` is the type of images and features: float, or IEEE half
// precision with -DREAL_HALF. Half precision is for storage only; all arithmetic is in float. Every sum has a fixed
// order and there are no atomics, so the same input gives the same bits. tile_launches.py and frame_launches.py have
// grids, blocks, shared memory and arguments.
//
// Sizes: a frame has h x w px and C channels (1 or 3), a tile S x S px; a tile's x, G(z), mean and std are [C, S, S].
// `kind` selects the difference of x and G(z) (KINDS in launch.py): RESIDUAL is x - G(z), L1 its absolute value, L2 its
// square, SSIM is 1 - SSIM. For all but RESIDUAL only more than usual is abnormal.

#ifdef REAL_HALF
struct real {
    unsigned short bits;
};
typedef ushort4 real4;
#ifdef __CUDACC__
__device__ inline float half_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
__device__ inline unsigned short float_to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif
__device__ inline float load(const real *from) { return half_to_float(from->bits); }
__device__ inline void store(real *to, float value) { to->bits = float_to_half(value); }
__device__ inline float4 unpack(real4 v) {
    return make_float4(half_to_float(v.x), half_to_float(v.y), half_to_float(v.z), half_to_float(v.w));
}
__device__ inline real4 pack(float4 v) {
    return make_ushort4(float_to_half(v.x), float_to_half(v.y), float_to_half(v.z), float_to_half(v.w));
}
#else
typedef float real;
typedef float4 real4;
__device__ inline float load(const real *from) { return *from; }
__device__ inline void store(real *to, float value) { *to = value; }
__device__ inline float4 unpack(real4 v) { return v; }
__device__ inline real4 pack(float4 v) { return v; }
#endif

typedef unsigned char byte;

enum { RESIDUAL, L1, L2, SSIM };  // kinds

const int WARP = 32;
const int OUTPUTS = 4;  // elements that one thread computes in gather_tiles, pool_rows and pool_columns
const int SSIM_SIDE = 16;  // of the square that a block of ssim_difference computes
extern __shared__ float scratch[];

template <typename T> __device__ inline bool aligned(const void *pointer) {
    return reinterpret_cast<size_t>(pointer) % sizeof(T) == 0;
}

__device__ inline float4 load4(const real *from) { return unpack(*reinterpret_cast<const real4 *>(from)); }
__device__ inline void store4(real *to, float4 values) { *reinterpret_cast<real4 *>(to) = pack(values); }

// Index i in a line of n elements, mirrored at both ends with the edge element repeated (OpenCV's BORDER_REFLECT).
__device__ inline int mirrored(int i, int n) {
    if (i >= 0 && i < n) return i;
    i %= 2 * n;
    if (i < 0) i += 2 * n;
    return i < n ? i : 2 * n - 1 - i;
}

// Grey level 0..255 -> [-1, 1], bit for bit like to_model_range.
__device__ inline float model_range(byte level) { return level / 127.5f - 1.0f; }

// -------------------------------------------------------------------------------------------------------- reductions

struct Add {
    __device__ float operator()(float a, float b) const { return a + b; }
};

// Unlike with fmaxf, NaN wins: a failed search must not look normal.
struct Larger {
    __device__ float operator()(float a, float b) const { return a > b || a != a ? a : b; }
};

// Combines the values of all threads of the block; thread 0 gets the result. The block consists of whole warps, and
// `scratch` holds one float for each.
template <typename Combine> __device__ float block_reduce(float value, Combine combine) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, warps = blockDim.x * blockDim.y / WARP;
    for (int offset = WARP / 2; offset > 0; offset /= 2)
        value = combine(value, __shfl_xor_sync(0xffffffffu, value, offset));
    __syncthreads();  // an earlier reduction may still be reading
    if (thread % WARP == 0) scratch[thread / WARP] = value;
    __syncthreads();
    if (thread == 0)
        for (int warp = 1; warp < warps; ++warp) value = combine(value, scratch[warp]);
    return value;
}

// ---------------------------------------------------------------------------------------------------- frame to tiles

// A pixel of the camera's frame in the model's channels, 0..255 each. Grey is OpenCV's fixed-point BGR2GRAY.
struct Pixel {
    int level[3];
};

__device__ inline Pixel camera_pixel(const byte *row, int x, int source_channels, int channels) {
    const byte *at = row + x * source_channels;
    if (source_channels == 1) return {{at[0], at[0], at[0]}};
    int blue, green, red;
    if (source_channels == 4 && aligned<uchar4>(at)) {
        const uchar4 bgra = *reinterpret_cast<const uchar4 *>(at);
        blue = bgra.x, green = bgra.y, red = bgra.z;
    } else {
        blue = at[0], green = at[1], red = at[2];
    }
    if (channels == 3) return {{blue, green, red}};
    return {{(3735 * blue + 19235 * green + 9798 * red + (1 << 14)) >> 15, 0, 0}};
}

__device__ inline byte to_byte(float level) { return static_cast<byte>(fminf(fmaxf(rintf(level), 0.0f), 255.0f)); }

// The source pixels that pixel i of an area resize covers along one axis, and their weights: `length` source pixels
// become `count`. In exact integers: pixel i covers [i * length, (i + 1) * length) in units of 1 / count source pixels.
// Like OpenCV, drops slivers below a thousandth of a pixel.
struct Cover {
    int first, last;  // source pixels, both included
    int whole, tail;  // the first pixel that is covered whole, and the pixel after the last one
    float head_weight, weight, tail_weight;

    __device__ Cover(int i, int length, int count) {
        const int begin = i * length, end = begin + length;
        whole = (begin + count - 1) / count;
        tail = min(end / count, length - 1);
        const int before = whole * count - begin, after = min(end - tail * count, count);
        first = whole - (1000 * before > count);
        last = tail - (1000 * after <= count);
        weight = static_cast<float>(count) / static_cast<float>(length);
        head_weight = static_cast<float>(before) / static_cast<float>(length);
        tail_weight = static_cast<float>(after) / static_cast<float>(length);
    }
    __device__ float at(int i) const { return i < whole ? head_weight : i < tail ? weight : tail_weight; }
};

// Camera's frame uint8 [H0, W0, C0] (BGR, BGRA or grey; rows `pitch` bytes apart) -> prepared uint8 [h, w, C], like
// cv2.cvtColor and then cv2.resize(INTER_AREA), each of which rounds. h <= H0, w <= W0. One thread for each pixel.
extern "C" __global__ void __launch_bounds__(256)
prepare_frame(const byte *__restrict__ source, int pitch, int source_height, int source_width, int source_channels,
              byte *__restrict__ prepared, int height, int width, int channels) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    byte *out = prepared + (static_cast<size_t>(y) * width + x) * channels;
    const int down = source_height / height, across = source_width / width;

    if (down * height == source_height && across * width == source_width) {
        // Each pixel covers whole source pixels: integer sums. OpenCV rounds halves up for 2 x 2, else to even.
        int sum[3] = {0, 0, 0};
        for (int v = 0; v < down; ++v) {
            const byte *row = source + (static_cast<size_t>(y) * down + v) * pitch;
            for (int u = 0; u < across; ++u) {
                const Pixel pixel = camera_pixel(row, x * across + u, source_channels, channels);
                for (int c = 0; c < 3; ++c) sum[c] += pixel.level[c];
            }
        }
        const float share = 1.0f / (down * across);
        for (int c = 0; c < channels; ++c)
            out[c] = down == 2 && across == 2 ? (sum[c] + 2) / 4 : to_byte(sum[c] * share);
        return;
    }
    const Cover rows(y, source_height, height), columns(x, source_width, width);
    float sum[3] = {0, 0, 0};
    for (int v = rows.first; v <= rows.last; ++v) {
        const byte *row = source + static_cast<size_t>(v) * pitch;
        float line[3] = {0, 0, 0};
        for (int u = columns.first; u <= columns.last; ++u) {
            const Pixel pixel = camera_pixel(row, u, source_channels, channels);
            for (int c = 0; c < 3; ++c) line[c] += pixel.level[c] * columns.at(u);
        }
        for (int c = 0; c < 3; ++c) sum[c] += line[c] * rows.at(v);
    }
    for (int c = 0; c < channels; ++c) out[c] = to_byte(sum[c]);
}

// Prepared uint8 [h, w, C] -> tiles real [count, C, H, W] = level / 127.5 - 1. corners int32 [count, 2]: (y, x).
// Tiles that exceed the frame on the right or below continue it mirrored, like pad_to. blockIdx.y is the tile; each
// thread computes OUTPUTS elements.
extern "C" __global__ void __launch_bounds__(256)
gather_tiles(const byte *__restrict__ prepared, int height, int width, int channels, const int *__restrict__ corners,
             real *__restrict__ tiles, int tile_height, int tile_width) {
    const int plane = tile_height * tile_width, elements = channels * plane;
    const int begin = (blockIdx.x * blockDim.x + threadIdx.x) * OUTPUTS;
    if (begin >= elements) return;
    const int top = corners[2 * blockIdx.y], left = corners[2 * blockIdx.y + 1];
    real *tile = tiles + static_cast<size_t>(blockIdx.y) * elements;
    float values[OUTPUTS];
    for (int i = 0; i < OUTPUTS && begin + i < elements; ++i) {
        const int channel = (begin + i) / plane, within = (begin + i) % plane;
        const int y = mirrored(top + within / tile_width, height), x = mirrored(left + within % tile_width, width);
        values[i] = model_range(prepared[(static_cast<size_t>(y) * width + x) * channels + channel]);
    }
    if (begin + OUTPUTS <= elements && aligned<real4>(tile + begin))
        store4(tile + begin, make_float4(values[0], values[1], values[2], values[3]));
    else
        for (int i = 0; i < OUTPUTS && begin + i < elements; ++i) store(tile + begin + i, values[i]);
}

// ------------------------------------------------------------------------------------------------------------ search

// One step of Adam on z, m, v [count], bit for bit like adam_search:
//   m += (1 - b1) (g - m)    v += (1 - b2) (g g - v)    z -= rate m / (sqrt(v / c2) + epsilon)
// where corrections [iterations, 2] has c2 = 1 - b2^t and rate = learning rate / (1 - b1^t) of iteration t - 1, counted
// from 0, which *iteration says. Also copies loss [batch] to its row of trace [iterations, batch].
extern "C" __global__ void __launch_bounds__(256)
adam(float *__restrict__ z, const float *__restrict__ gradient, float *__restrict__ m, float *__restrict__ v,
     const float *__restrict__ loss, float *__restrict__ trace, const int *__restrict__ iteration,
     const float *__restrict__ corrections, int count, int batch, float one_less_beta1, float one_less_beta2,
     float epsilon) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, t = *iteration;
    if (i < batch) trace[static_cast<size_t>(t) * batch + i] = loss[i];
    if (i >= count) return;
    const float c2 = corrections[2 * t], rate = corrections[2 * t + 1];
    const float g = gradient[i];
    const float first = m[i] + one_less_beta1 * (g - m[i]);
    const float second = v[i] + one_less_beta2 * (g * g - v[i]);
    m[i] = first;
    v[i] = second;
    z[i] = z[i] - rate * first / (sqrtf(second / c2) + epsilon);
}

// This thread's share of the sum of |a - b| over n elements.
__device__ float absolute_difference(const real *__restrict__ a, const real *__restrict__ b, int n) {
    const int vectors = aligned<real4>(a) && aligned<real4>(b) ? n / 4 : 0;
    float sum = 0;
    for (int i = threadIdx.x; i < vectors; i += blockDim.x) {
        const float4 p = load4(a + 4 * i), q = load4(b + 4 * i);
        sum += (fabsf(p.x - q.x) + fabsf(p.y - q.y)) + (fabsf(p.z - q.z) + fabsf(p.w - q.w));
    }
    for (int i = 4 * vectors + threadIdx.x; i < n; i += blockDim.x) sum += fabsf(load(a + i) - load(b + i));
    return sum;
}

// The scores of each tile after its search. One block for each tile; outputs are float [tiles]:
//   feature_residual = sum |f(x) - f(G(z))|                              f: real [tiles, features]
//   loss = gamma ((1 - lambda) sum |x - G(z)| + lambda feature_residual) + (1 - gamma) sigmoid(-logit)
// x, G(z): real [tiles, pixels]; logit of D(G(z)): float [tiles]. The loss is the paper's L', with
// |1 - D| = sigmoid(-logit). Without a logit (null) there is no loss.
extern "C" __global__ void __launch_bounds__(512)
tile_sums(const real *__restrict__ features_frame, const real *__restrict__ features, const real *__restrict__ tiles,
          const real *__restrict__ reconstruction, const float *__restrict__ logit,
          float *__restrict__ feature_residual, float *__restrict__ loss, int feature_count, int pixel_count,
          float gamma, float one_less_gamma, float lambda, float one_less_lambda) {
    const size_t tile = blockIdx.x, feature = tile * feature_count, pixel = tile * pixel_count;
    const float of_features = block_reduce(
        absolute_difference(features_frame + feature, features + feature, feature_count), Add());
    if (threadIdx.x == 0) feature_residual[tile] = of_features;
    if (!logit) return;
    const float of_pixels = block_reduce(
        absolute_difference(tiles + pixel, reconstruction + pixel, pixel_count), Add());
    if (threadIdx.x != 0) return;
    loss[tile] = gamma * (one_less_lambda * of_pixels + lambda * of_features)
                 + one_less_gamma * (1.0f / (1.0f + expf(logit[tile])));
}

// ---------------------------------------------------------------------------------------------------- tiles to frame

// The logit of each tile, float [count], from those of the first look's windows, float [rows, columns], which lie `step`
// px apart: linear between the windows around its corner, bit for bit like FirstLook.of_tiles. corners: int [count, 2].
extern "C" __global__ void __launch_bounds__(256)
logits_of_tiles(const float *__restrict__ windows, int rows, int columns, int step, const int *__restrict__ corners,
                int count, float *__restrict__ logit) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const int y = corners[2 * i], x = corners[2 * i + 1], top = y / step, left = x / step;
    const int bottom = min(top + 1, rows - 1), right = min(left + 1, columns - 1);
    const float down = static_cast<float>(y % step) / step, across = static_cast<float>(x % step) / step;
    const float *above = windows + top * columns, *below = windows + bottom * columns;
    const float upper = above[left] * (1.0f - across) + above[right] * across;
    const float lower = below[left] * (1.0f - across) + below[right] * across;
    logit[i] = upper * (1.0f - down) + lower * down;
}

// Which tiles are searched: the `most` <= `count` with the smallest logits, of equal ones the first, and NaN last. By one
// block. Outputs, int:
//   place [count]          where a tile is among the searched ones, -1: it is not
//   chosen [room]          the searched tiles in ascending order; the last one fills up what is more than `most`
//   chosen_corners [room, 2]  their corners
// logit: float [count]; corners: int [count, 2].
extern "C" __global__ void __launch_bounds__(512)
select_tiles(const float *__restrict__ logit, const int *__restrict__ corners, int count, int most, int room,
             int *__restrict__ place, int *__restrict__ chosen, int *__restrict__ chosen_corners) {
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        const float own = logit[i];
        int before = 0;
        for (int j = 0; j < count; ++j) {
            const float other = logit[j];
            const bool alike = other == own || (other != other && own != own);
            before += alike ? j < i : other < own || (own != own && other == other);
        }
        place[i] = before < most ? 0 : -1;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        if (place[i] < 0) continue;
        int before = 0;
        for (int j = 0; j < i; ++j) before += place[j] >= 0;
        chosen[before] = i;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < room; i += blockDim.x) {
        const int tile = chosen[min(i, most - 1)];
        if (i < most) place[tile] = i;
        chosen_corners[2 * i] = corners[2 * tile];
        chosen_corners[2 * i + 1] = corners[2 * tile + 1];
        if (i >= most) chosen[i] = tile;
    }
}

// The weight of a tile along one axis, which falls towards both edges.
__device__ inline float ramp(int i, int size) { return static_cast<float>(min(i + 1, size - i)) / (0.5f * size); }

// The moments of a window on x and G(z): weighted means of each, of their squares, and of their product.
enum { MEAN_X, MEAN_G, SQUARE_X, SQUARE_G, PRODUCT, MOMENTS };

// 1 - SSIM of x and G(z) in every tile, float [count, C, S, S], like ssim_map. Mirrored at the edges of the tile. x is
// `prepared` uint8 [h, w, C] in the model's range, at corners int32 [count, 2] as in gather_tiles; reconstruction real
// [count, C, S, S]; taps are the window's weights along one axis. A block computes SSIM_SIDE x SSIM_SIDE px, one for
// each thread, of the plane blockIdx.x of a tile. `scratch` has x and G(z) with a margin of tap_count / 2 px, and then
// the moments along the rows.
extern "C" __global__ void __launch_bounds__(256)
ssim_difference(const byte *__restrict__ prepared, int height, int width, int channels,
                const int *__restrict__ corners, const real *__restrict__ reconstruction, int size,
                const float *__restrict__ taps, int tap_count, float c1, float c2, float *__restrict__ difference) {
    const int tile = blockIdx.x / channels, channel = blockIdx.x % channels;
    const size_t plane = static_cast<size_t>(blockIdx.x) * size * size;
    const int top = blockIdx.y * SSIM_SIDE, left = blockIdx.z * SSIM_SIDE, side = SSIM_SIDE + tap_count - 1;
    const int thread = threadIdx.y * SSIM_SIDE + threadIdx.x, threads = SSIM_SIDE * SSIM_SIDE;
    float *x = scratch, *g = x + side * side, *along_rows = g + side * side;

    for (int i = thread; i < side * side; i += threads) {
        const int v = mirrored(top + i / side - tap_count / 2, size);
        const int u = mirrored(left + i % side - tap_count / 2, size);
        const int row = mirrored(corners[2 * tile] + v, height), column = mirrored(corners[2 * tile + 1] + u, width);
        x[i] = model_range(prepared[(static_cast<size_t>(row) * width + column) * channels + channel]);
        g[i] = load(reconstruction + plane + static_cast<size_t>(v) * size + u);
    }
    __syncthreads();
    for (int i = thread; i < side * SSIM_SIDE; i += threads) {
        const int first = i / SSIM_SIDE * side + i % SSIM_SIDE;
        float sum[MOMENTS] = {0, 0, 0, 0, 0};
        for (int k = 0; k < tap_count; ++k) {
            const float a = x[first + k], b = g[first + k];
            sum[MEAN_X] += taps[k] * a;
            sum[MEAN_G] += taps[k] * b;
            sum[SQUARE_X] += taps[k] * (a * a);
            sum[SQUARE_G] += taps[k] * (b * b);
            sum[PRODUCT] += taps[k] * (a * b);
        }
        for (int m = 0; m < MOMENTS; ++m) along_rows[m * side * SSIM_SIDE + i] = sum[m];
    }
    __syncthreads();
    const int v = top + threadIdx.y, u = left + threadIdx.x;
    if (v >= size || u >= size) return;
    float moment[MOMENTS] = {0, 0, 0, 0, 0};
    for (int k = 0; k < tap_count; ++k)
        for (int m = 0; m < MOMENTS; ++m)
            moment[m] += taps[k] * along_rows[(m * side + threadIdx.y + k) * SSIM_SIDE + threadIdx.x];
    const float mean_x = moment[MEAN_X], mean_g = moment[MEAN_G], light_x = mean_x + 1.0f, light_g = mean_g + 1.0f;
    const float variances = (moment[SQUARE_X] - mean_x * mean_x) + (moment[SQUARE_G] - mean_g * mean_g);
    const float covariance = moment[PRODUCT] - mean_x * mean_g;
    const float luminance = (2.0f * light_x * light_g + c1) / (light_x * light_x + light_g * light_g + c1);
    const float structure = (2.0f * covariance + c2) / (variances + c2);
    difference[plane + static_cast<size_t>(v) * size + u] = 1.0f - luminance * structure;
}

// Weighted means over the tiles that cover a pixel, summed in the order of the tiles; weight = ramp(y) ramp(x):
//   difference float [C, h, w]  of  (d - mean) / std      picture uint8 [h, w, C]  of  G(z), rounded half to even
// where d is x - G(z), for L1 its absolute value, for L2 its square, for SSIM what ssim_difference made of the tiles: the
// others do not read `tile_difference`. x is `prepared` uint8 [h, w, C] in the model's range. Tiles lie on a grid and
// start at rows [row_count] and columns [column_count], row by row. reconstruction real and tile_difference float
// [N, C, S, S] are of the searched tiles: `place` int [row_count * column_count] says where a tile is among them, and -1
// that it is not searched; null: all are, in their order. A tile that is not searched counts as 0 in the difference and
// as x in the picture. One thread for each pixel.
extern "C" __global__ void __launch_bounds__(256)
blend(const byte *__restrict__ prepared, int height, int width, int channels, const real *__restrict__ reconstruction,
      const float *__restrict__ tile_difference, const float *__restrict__ mean, const float *__restrict__ std,
      const int *__restrict__ rows, int row_count, const int *__restrict__ columns, int column_count,
      const int *__restrict__ place, int size, int kind, float *__restrict__ difference, byte *__restrict__ picture) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    const size_t pixel = static_cast<size_t>(y) * width + x, plane = static_cast<size_t>(size) * size;
    float weights = 0, searched = 0, sum[3] = {0, 0, 0}, image[3] = {0, 0, 0};
    for (int row = 0; row < row_count; ++row) {
        const int v = y - rows[row];
        if (v < 0 || v >= size) continue;
        for (int column = 0; column < column_count; ++column) {
            const int u = x - columns[column];
            if (u < 0 || u >= size) continue;
            const float weight = ramp(v, size) * ramp(u, size);
            weights += weight;
            const int number = row * column_count + column, at_number = place ? place[number] : number;
            if (at_number < 0) continue;
            searched += weight;
            const size_t tile = static_cast<size_t>(at_number) * channels * plane;
            for (int c = 0; c < channels; ++c) {
                const size_t at = c * plane + static_cast<size_t>(v) * size + u;
                const float normal = load(reconstruction + tile + at);
                const float residual = model_range(prepared[pixel * channels + c]) - normal;
                const float differs = kind == SSIM ? tile_difference[tile + at]
                                      : kind == L2 ? residual * residual
                                      : kind == L1 ? fabsf(residual)
                                                   : residual;
                sum[c] += (differs - mean[at]) / std[at] * weight;
                image[c] += normal * weight;
            }
        }
    }
    for (int c = 0; c < channels; ++c) {
        difference[(static_cast<size_t>(c) * height + y) * width + x] = sum[c] / weights;
        float level = image[c] / weights;
        if (place) level += (1.0f - searched / weights) * model_range(prepared[pixel * channels + c]);
        picture[pixel * channels + c] = to_byte((level + 1.0f) * 127.5f);
    }
}

// pooled[c][y][x] = sum over k of taps[k] source[c][y][x + k - radius], float [C, h, w]; mirrored at the edges.
// A block computes OUTPUTS blockDim.x elements of one row of one channel. The row is blockIdx.x, because a grid has at
// most 65535 blocks in y and z; the channel is blockIdx.z.
extern "C" __global__ void __launch_bounds__(256)
pool_rows(const float *__restrict__ source, int height, int width, const float *__restrict__ taps, int tap_count,
          float *__restrict__ pooled) {
    const size_t row = (static_cast<size_t>(blockIdx.z) * height + blockIdx.x) * width;
    const int segment = OUTPUTS * blockDim.x, begin = blockIdx.y * segment, count = min(segment, width - begin);
    for (int i = threadIdx.x; i < count + tap_count - 1; i += blockDim.x)
        scratch[i] = source[row + mirrored(begin + i - tap_count / 2, width)];
    __syncthreads();
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        float sum = 0;
        for (int k = 0; k < tap_count; ++k) sum += taps[k] * scratch[i + k];
        pooled[row + begin + i] = sum;
    }
}

// The second half of the pooling, and what finishes one scale:
//   p[c][y][x] = sum over k of taps[k] source[c][y + k - radius][x] / pooled_std
//   plane[y][x] = sqrt(mean over c of p^2) for RESIDUAL, max(mean over c of p, 0) for the others
// source float [C, h, w]; anomaly_map float [h, w] is the plane of the first scale, then the maximum of itself and the
// plane; maxima float [gridDim.x gridDim.y]: the plane's largest value in each block. A thread computes OUTPUTS rows of
// a column.
extern "C" __global__ void __launch_bounds__(256)
pool_columns(const float *__restrict__ source, int height, int width, int channels, const float *__restrict__ taps,
             int tap_count, float pooled_std, int kind, int first_scale, float *__restrict__ anomaly_map,
             float *__restrict__ maxima) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    const int top = (blockIdx.y * blockDim.y + threadIdx.y) * OUTPUTS;
    float total[OUTPUTS] = {0, 0, 0, 0};
    float largest = 0;  // the plane has no negative values
    if (x < width && top < height) {
        for (int c = 0; c < channels; ++c) {
            float sum[OUTPUTS] = {0, 0, 0, 0};
            for (int i = 0; i < tap_count + OUTPUTS - 1; ++i) {
                const int y = mirrored(top + i - tap_count / 2, height);
                const float value = source[(static_cast<size_t>(c) * height + y) * width + x];
                for (int j = 0; j < OUTPUTS; ++j)
                    if (i >= j && i - j < tap_count) sum[j] += taps[i - j] * value;
            }
            for (int j = 0; j < OUTPUTS; ++j) {
                const float pooled = sum[j] / pooled_std;
                total[j] += kind == RESIDUAL ? pooled * pooled : pooled;
            }
        }
        for (int j = 0; j < OUTPUTS && top + j < height; ++j) {
            float *out = anomaly_map + static_cast<size_t>(top + j) * width + x;
            const float mean = total[j] / channels;
            const float plane = kind == RESIDUAL ? sqrtf(mean) : Larger()(mean, 0.0f);
            *out = first_scale ? plane : Larger()(plane, *out);
            largest = Larger()(largest, plane);
        }
    }
    largest = block_reduce(largest, Larger());
    if (threadIdx.x == 0 && threadIdx.y == 0) maxima[blockIdx.y * gridDim.x + blockIdx.x] = largest;
}

// ------------------------------------------------------------------------------------------------------------ scores

// The largest of sign * values[count]; thread 0 gets it. count > 0.
__device__ float largest_of(const float *__restrict__ values, int count, float sign) {
    float largest = sign * values[0];
    for (int i = threadIdx.x; i < count; i += blockDim.x) largest = Larger()(largest, sign * values[i]);
    return block_reduce(largest, Larger());
}

// The frame's components, values float [scale_count + 4], by one block:
//   for each scale s, log(max of maxima[s] + floor), where floor is 1e-6 for RESIDUAL, else 1; then for the worst tile
//   log(feature_residual + 1e-6), -logit of D(G(z)), -logit of D(x), loss
// maxima: float [scale_count, blocks]; the others: float [tile_count]. The value of a null array is left out.
extern "C" __global__ void __launch_bounds__(512)
frame_values(const float *__restrict__ maxima, int scale_count, int blocks, const float *__restrict__ feature_residual,
             const float *__restrict__ logit_reconstruction, const float *__restrict__ logit_frame,
             const float *__restrict__ loss, int tile_count, int kind, float *__restrict__ values) {
    for (int scale = 0; scale < scale_count; ++scale) {
        const float peak = largest_of(maxima + static_cast<size_t>(scale) * blocks, blocks, 1.0f);
        if (threadIdx.x == 0) values[scale] = logf(peak + (kind == RESIDUAL ? 1e-6f : 1.0f));
    }
    const float feature = largest_of(feature_residual, tile_count, 1.0f);
    const float reconstruction = logit_reconstruction ? largest_of(logit_reconstruction, tile_count, -1.0f) : 0.0f;
    const float frame = largest_of(logit_frame, tile_count, -1.0f);
    const float worst = loss ? largest_of(loss, tile_count, 1.0f) : 0.0f;
    if (threadIdx.x != 0) return;
    values += scale_count;
    *values++ = logf(feature + 1e-6f);
    if (logit_reconstruction) *values++ = reconstruction;
    *values++ = frame;
    if (loss) *values = worst;
}
