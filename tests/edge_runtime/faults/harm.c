/* Harm that a test turns on and off: LD_PRELOAD this. $HARM is a file of two int64 that is looked at in every call.
   The first, when not 0, refuses new threads; the second makes the disk hang in fsync and fdatasync. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int64_t harm(int which)
{
    static const volatile int64_t *shared;
    if (!shared) {
        const char *path = getenv("HARM");
        int file = path ? open(path, O_RDONLY) : -1;
        if (file < 0) return 0;
        void *memory = mmap(0, 2 * sizeof *shared, PROT_READ, MAP_SHARED, file, 0);
        close(file);
        if (memory == MAP_FAILED) return 0;
        shared = memory;
    }
    return shared[which];
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *), void *argument)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!real) real = dlsym(RTLD_NEXT, "pthread_create");
    return harm(0) ? EAGAIN : real(thread, attributes, work, argument);
}

int fsync(int file)
{
    while (harm(1)) usleep(5000);
    return syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    while (harm(1)) usleep(5000);
    return syscall(SYS_fdatasync, file);
}
