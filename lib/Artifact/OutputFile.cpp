//===- OutputFile.cpp - a file that appears when it is complete -------------------------------===//

#include "ingot/Artifact/OutputFile.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace ingot::artifact;

static std::string getFolder(llvm::StringRef path) {
  llvm::StringRef folder = llvm::sys::path::parent_path(path);
  return folder.empty() ? "." : folder.str();
}

static std::string getDescriptorPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

llvm::Error OutputFile::fail(const llvm::Twine &what, int error) const {
  return llvm::createStringError(llvm::Twine(path) + ": " + what + " (" + strerror(error) + ")");
}

llvm::Expected<std::unique_ptr<OutputFile>> OutputFile::create(llvm::StringRef path,
                                                               bool nameless) {
  std::unique_ptr<OutputFile> file(new OutputFile(path));
  // A rename would replace a device or a pipe by a file.
  struct stat status;
  if (stat(file->path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    return llvm::createStringError(llvm::Twine(path) + ": cannot be written (not a regular file)");

#ifdef O_TMPFILE
  if (nameless) {
    file->fd = open(getFolder(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    // Its name is given through /proc at the end; not every container has that.
    if (file->fd >= 0 && access(getDescriptorPath(file->fd).c_str(), F_OK) == 0)
      return std::move(file);
    if (file->fd >= 0)
      close(file->fd);
    file->fd = -1;
  }
#endif
  if (llvm::Error error = file->openNamed())
    return std::move(error);
  return std::move(file);
}

llvm::Error OutputFile::openNamed() {
  return nameIt([&](const char *name) {
    fd = open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
    return fd >= 0;
  });
}

/// Tries names beside the path until `make`, which sets errno, succeeds with one.
llvm::Error OutputFile::nameIt(llvm::function_ref<bool(const char *name)> make) {
  std::random_device random;
  for (int attempt = 0;; ++attempt) {
    char suffix[16];
    snprintf(suffix, sizeof suffix, ".tmp-%06x", random() & 0xffffff);
    std::string name = path + suffix;
    if (make(name.c_str())) {
      temporary = name;
      llvm::sys::RemoveFileOnSignal(temporary);
      return llvm::Error::success();
    }
    if (errno != EEXIST || attempt == 100)
      return fail("cannot be written", errno);
  }
}

void OutputFile::removeTemporary() {
  if (temporary.empty())
    return;
  unlink(temporary.c_str());
  llvm::sys::DontRemoveFileOnSignal(temporary);
  temporary.clear();
}

OutputFile::~OutputFile() {
  if (fd >= 0)
    close(fd);
  removeTemporary();
}

llvm::Error OutputFile::resize(uint64_t length) {
  // Beyond this limit the kernel sends a signal that kills the process.
  struct rlimit limit;
  if (length > INT64_MAX || (getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                             limit.rlim_cur != RLIM_INFINITY && length > limit.rlim_cur))
    return fail(llvm::Twine(length) + " bytes cannot be written", EFBIG);
  if (ftruncate(fd, off_t(length)) != 0)
    return fail(llvm::Twine(length) + " bytes cannot be written", errno);
#ifdef __linux__
  int result = 0;
  do
    result = length ? fallocate(fd, 0, 0, off_t(length)) : 0;
  while (result != 0 && errno == EINTR);
  if (result != 0 && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT))
    return fail(llvm::Twine(length) + " bytes cannot be written", errno);
#endif
  return llvm::Error::success();
}

llvm::Error OutputFile::write(uint64_t offset, llvm::ArrayRef<char> bytes) {
  while (!bytes.empty()) {
    ssize_t written = pwrite(fd, bytes.data(), bytes.size(), off_t(offset));
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return fail("cannot be written", written ? errno : ENOSPC);
    offset += uint64_t(written);
    bytes = bytes.drop_front(size_t(written));
  }
  return llvm::Error::success();
}

llvm::Error OutputFile::commit() {
  if (fsync(fd) != 0)
    return fail("cannot be written", errno);
  if (temporary.empty()) {
    // linkat() does not replace a file: first a name beside it, then a rename.
    std::string descriptor = getDescriptorPath(fd);
    if (llvm::Error error = nameIt([&](const char *name) {
          return linkat(AT_FDCWD, descriptor.c_str(), AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
        }))
      return error;
  }
  if (rename(temporary.c_str(), path.c_str()) != 0)
    return fail("cannot be written", errno);
  llvm::sys::DontRemoveFileOnSignal(temporary);
  temporary.clear();
  int result = close(fd);
  fd = -1;
  if (result != 0)
    return fail("cannot be written", errno);
  // The name is in the folder: best effort, not every file system can.
  int folder = open(getFolder(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    fsync(folder);
    close(folder);
  }
  return llvm::Error::success();
}
