// What the tests read afterwards: calls counted by name, the order in which work ran, and sentences about misuse.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace fake {

class Journal {
  public:
    void count(const std::string &api);
    void ran(const std::string &work);
    // Prints what went wrong to stderr, and keeps the sentence for the tests.
    void report(const std::string &sentence);
    // Notes an object that was destroyed only with its context.
    void dropped(const std::string &what);
    void clear();

    std::string calls_json();
    std::string timeline_json();
    std::string reports_json();
    std::string dropped_json();

  private:
    std::mutex mutex_;
    std::map<std::string, std::uint64_t> calls_;
    std::vector<std::string> timeline_, reports_, dropped_;
};

Journal &journal();

std::string json(const std::vector<std::string> &strings);

}  // namespace fake
