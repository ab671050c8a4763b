//===- Code.cpp - mapping code and naming it -------------------------------------------------===//
#include "Code.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <elf.h>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

using namespace ingot;

//===-- The interface that gdb and lldb watch, by its published names ------------------------===//
// Weak: a process that also holds another user of this interface shares one list with it.
extern "C" {
struct jit_code_entry {
  jit_code_entry *next_entry;
  jit_code_entry *prev_entry;
  const char *symfile_addr;
  uint64_t symfile_size;
};
struct jit_descriptor {
  uint32_t version;
  uint32_t action_flag;
  jit_code_entry *relevant_entry;
  jit_code_entry *first_entry;
};
__attribute__((weak, visibility("default")))
jit_descriptor __jit_debug_descriptor = {1, 0, nullptr, nullptr};
__attribute__((weak, noinline, visibility("default"))) void __jit_debug_register_code() {
  __asm__ volatile("" ::: "memory");
}
}

struct Code::DebuggerEntry {
  jit_code_entry entry = {};
  std::string image;
};

namespace {
std::mutex debuggerMutex;

template <typename T> void append(std::string &to, const T &value) {
  to.append(reinterpret_cast<const char *>(&value), sizeof value);
}

struct NamedRange {
  const char *name;
  uint64_t offset;
  uint64_t size;
};

/// An ELF file without content whose symbols stand at the addresses of the kernels.
std::string symbolFile(uint64_t base, uint64_t length, const std::vector<NamedRange> &functions) {
  static const char sectionNames[] = "\0.text\0.symtab\0.strtab\0.shstrtab";
  std::string symbols, names(1, '\0');
  append(symbols, Elf64_Sym{});
  for (const NamedRange &function : functions) {
    Elf64_Sym symbol = {};
    symbol.st_name = static_cast<uint32_t>(names.size());
    symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    symbol.st_shndx = 1;
    symbol.st_value = base + function.offset;
    symbol.st_size = function.size;
    append(symbols, symbol);
    names.append(function.name);
    names.push_back('\0');
  }
  Elf64_Ehdr header = {};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
#if defined(__x86_64__)
  header.e_machine = EM_X86_64;
#else
  header.e_machine = EM_AARCH64;
#endif
  header.e_version = EV_CURRENT;
  header.e_shoff = sizeof header;
  header.e_ehsize = sizeof header;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 5;
  header.e_shstrndx = 4;
  uint64_t at = sizeof header + 5 * sizeof(Elf64_Shdr);
  std::string image;
  append(image, header);
  auto section = [&](uint32_t name, uint32_t type, uint64_t flags, uint64_t address, uint64_t bytes,
                     uint32_t link, uint32_t info, uint64_t entry) {
    Elf64_Shdr s = {};
    s.sh_name = name;
    s.sh_type = type;
    s.sh_flags = flags;
    s.sh_addr = address;
    s.sh_offset = type == SHT_NULL ? 0 : at;
    s.sh_size = bytes;
    s.sh_link = link;
    s.sh_info = info;
    s.sh_addralign = 1;
    s.sh_entsize = entry;
    append(image, s);
    if (type != SHT_NULL && type != SHT_NOBITS)
      at += bytes;
  };
  section(0, SHT_NULL, 0, 0, 0, 0, 0, 0);
  section(1, SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, base, length, 0, 0, 0);
  section(7, SHT_SYMTAB, 0, 0, symbols.size(), 3, 1, sizeof(Elf64_Sym));
  section(15, SHT_STRTAB, 0, 0, names.size(), 0, 0, 0);
  section(23, SHT_STRTAB, 0, 0, sizeof sectionNames, 0, 0, 0);
  image += symbols;
  image += names;
  image.append(sectionNames, sizeof sectionNames);
  return image;
}
} // namespace

Code::Code() = default;

Code::~Code() {
  if (debuggerEntry) {
    std::lock_guard<std::mutex> lock(debuggerMutex);
    jit_code_entry *entry = &debuggerEntry->entry;
    (entry->prev_entry ? entry->prev_entry->next_entry : __jit_debug_descriptor.first_entry) =
        entry->next_entry;
    if (entry->next_entry)
      entry->next_entry->prev_entry = entry->prev_entry;
    __jit_debug_descriptor.relevant_entry = entry;
    __jit_debug_descriptor.action_flag = 2; // unregister
    __jit_debug_register_code();
    __jit_debug_descriptor.relevant_entry = nullptr;
  }
  if (memory)
    munmap(memory, length);
}

Error Code::map(const Artifact &artifact, const fb::Segment &segment, bool copy) {
  length = segment.length();
  if (!copy) {
    void *address = mmap(nullptr, length, PROT_READ | PROT_EXEC, MAP_PRIVATE, artifact.descriptor(),
                         static_cast<off_t>(segment.offset()));
    if (address != MAP_FAILED) {
      memory = address;
      return nullptr;
    }
    if (errno != EPERM && errno != EACCES)
      return makeError(INGOT_IO, "%s: the code cannot be mapped: %s", artifact.path().c_str(),
                       strerror(errno));
  }
  void *address = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED)
    return makeError(INGOT_OUT_OF_MEMORY, "%s: no memory for a copy of the code",
                     artifact.path().c_str());
  memory = address;
  copied = true;
  ssize_t got = 0;
  for (uint64_t done = 0; done < length; done += static_cast<uint64_t>(got)) {
    got = pread(artifact.descriptor(), static_cast<char *>(memory) + done, length - done,
                static_cast<off_t>(segment.offset() + done));
    if (got < 0 && errno == EINTR)
      got = 0;
    else if (got <= 0)
      return makeError(INGOT_IO, "%s: the code cannot be read: %s", artifact.path().c_str(),
                       got < 0 ? strerror(errno) : "unexpected end");
  }
  if (mprotect(memory, length, PROT_READ | PROT_EXEC) != 0)
    return makeError(INGOT_IO,
                     "%s: neither the file nor a copy of its code may be executed here (%s); move "
                     "it to a file system without noexec, or allow executable memory",
                     artifact.path().c_str(), strerror(errno));
  __builtin___clear_cache(static_cast<char *>(memory), static_cast<char *>(memory) + length);
  return nullptr;
}

Error Code::load(const Artifact &artifact, unsigned index, bool perfMap) {
  const fb::Target &target = *artifact.root().targets()->Get(index);
  INGOT_TRY(map(artifact, *artifact.root().segments()->Get(target.segment()), perfMap));
  for (uint64_t entry : *target.entries())
    kernels.push_back(
        reinterpret_cast<ingot_kernel_fn>(reinterpret_cast<uintptr_t>(memory) + entry));
  registerWithDebugger(artifact, target);
  if (perfMap)
    writePerfMap(artifact, target);
  return nullptr;
}

uint64_t Code::kernelSize(const fb::Target &target, unsigned index) const {
  uint64_t begin = target.entries()->Get(index), end = length;
  for (uint64_t entry : *target.entries())
    if (entry > begin)
      end = std::min(end, entry);
  return end - begin;
}

void Code::registerWithDebugger(const Artifact &artifact, const fb::Target &target) {
  std::vector<NamedRange> functions;
  for (unsigned i = 0; i < kernels.size(); ++i)
    functions.push_back({artifact.root().kernels()->Get(i)->name()->c_str(),
                         target.entries()->Get(i), kernelSize(target, i)});
  debuggerEntry = std::make_unique<DebuggerEntry>();
  debuggerEntry->image = symbolFile(reinterpret_cast<uint64_t>(memory), length, functions);
  jit_code_entry *entry = &debuggerEntry->entry;
  entry->symfile_addr = debuggerEntry->image.data();
  entry->symfile_size = debuggerEntry->image.size();
  std::lock_guard<std::mutex> lock(debuggerMutex);
  entry->next_entry = __jit_debug_descriptor.first_entry;
  if (entry->next_entry)
    entry->next_entry->prev_entry = entry;
  __jit_debug_descriptor.first_entry = entry;
  __jit_debug_descriptor.relevant_entry = entry;
  __jit_debug_descriptor.action_flag = 1; // register
  __jit_debug_register_code();
}

void Code::writePerfMap(const Artifact &artifact, const fb::Target &target) const {
  std::string path = "/tmp/perf-" + std::to_string(getpid()) + ".map";
  FILE *file = fopen(path.c_str(), "ae");
  if (!file)
    return; // A convenience: not worth a failure.
  for (unsigned i = 0; i < kernels.size(); ++i)
    fprintf(file, "%llx %llx %s\n",
            static_cast<unsigned long long>(reinterpret_cast<uintptr_t>(memory) +
                                            target.entries()->Get(i)),
            static_cast<unsigned long long>(kernelSize(target, i)),
            artifact.root().kernels()->Get(i)->name()->c_str());
  fclose(file);
}
