// A user of the C++ wrapper: the same next id from one piece and from a fork.
#include <ingot/runtime.hpp>

#include <algorithm>
#include <iostream>

int main(int argc, char **argv) {
  try {
    ingot::Model model(argv[1]);
    std::vector<int32_t> ids = model.encode(argv[2]);
    ingot::Session session(model);
    std::vector<float> logits = session.feed(ids);
    session.truncate(ids.size() - 1);
    ingot::Session fork = session.fork();
    if (fork.feed({ids.back()}) != logits)
      return 1;
    std::cout << "next: " << std::max_element(logits.begin(), logits.end()) - logits.begin()
              << "\n";
    return argc - 3;
  } catch (const ingot::Error &error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
