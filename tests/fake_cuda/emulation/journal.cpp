#include "journal.h"

#include <cstdio>

namespace fake {

Journal &journal() {
    static Journal *the_journal = new Journal;  // never destroyed, because Python's last finalisers still report
    return *the_journal;
}

void Journal::count(const std::string &api) {
    std::lock_guard guard(mutex_);
    ++calls_[api];
}

void Journal::ran(const std::string &work) {
    std::lock_guard guard(mutex_);
    timeline_.push_back(work);
}

void Journal::report(const std::string &sentence) {
    std::lock_guard guard(mutex_);
    std::fprintf(stderr, "fake_cuda: %s\n", sentence.c_str());
    reports_.push_back(sentence);
}

void Journal::dropped(const std::string &what) {
    std::lock_guard guard(mutex_);
    dropped_.push_back(what);
}

void Journal::clear() {
    std::lock_guard guard(mutex_);
    calls_.clear();
    timeline_.clear();
    reports_.clear();
    dropped_.clear();
}

static std::string quoted(const std::string &text) {
    std::string result = "\"";
    for (unsigned char c : text) {
        if (c == '"' || c == '\\') {
            result += '\\';
            result += static_cast<char>(c);
        } else if (c < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", c);
            result += escape;
        } else {
            result += static_cast<char>(c);
        }
    }
    return result + '"';
}

std::string json(const std::vector<std::string> &strings) {
    std::string result = "[";
    for (const auto &text : strings) result += (result.size() > 1 ? "," : "") + quoted(text);
    return result + "]";
}

std::string Journal::calls_json() {
    std::lock_guard guard(mutex_);
    std::string result = "{";
    for (const auto &[api, count] : calls_)
        result += (result.size() > 1 ? "," : "") + quoted(api) + ":" + std::to_string(count);
    return result + "}";
}

std::string Journal::timeline_json() {
    std::lock_guard guard(mutex_);
    return json(timeline_);
}

std::string Journal::reports_json() {
    std::lock_guard guard(mutex_);
    return json(reports_);
}

std::string Journal::dropped_json() {
    std::lock_guard guard(mutex_);
    return json(dropped_);
}

}  // namespace fake
