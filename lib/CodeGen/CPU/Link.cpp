//===- Link.cpp - kernels to one image --------------------------------------------------------===//

#include "Internal.h"
#include "lld/Common/Driver.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace ingot;
using namespace ingot::codegen;
using llvm::object::ELF64LE;

static llvm::Error makeError(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}

namespace {
/// A folder of temporary files, removed at the end.
class TemporaryFolder {
public:
  std::error_code create() { return llvm::sys::fs::createUniqueDirectory("ingot-link", path); }
  ~TemporaryFolder() {
    if (!path.empty())
      llvm::sys::fs::remove_directories(path);
  }
  std::string file(const llvm::Twine &name) const {
    llvm::SmallString<128> result(path);
    llvm::sys::path::append(result, name);
    return std::string(result);
  }

private:
  llvm::SmallString<128> path;
};
} // namespace

/// Checks what the runtime relies on, and reads the symbols.
static llvm::Expected<LinkedImage> readImage(llvm::StringRef bytes) {
  llvm::Expected<llvm::object::ELFFile<ELF64LE>> file =
      llvm::object::ELFFile<ELF64LE>::create(bytes);
  if (!file)
    return file.takeError();
  auto sections = file->sections();
  if (!sections)
    return sections.takeError();
  LinkedImage image;
  for (const ELF64LE::Shdr &section : *sections) {
    llvm::Expected<llvm::StringRef> name = file->getSectionName(section);
    if (!name)
      return name.takeError();
    bool isRelocation =
        section.sh_type == llvm::ELF::SHT_RELA || section.sh_type == llvm::ELF::SHT_REL;
    if (isRelocation && section.sh_size)
      return makeError("the linked code needs relocations at run time (" + *name + ")");
    bool isLoaded = section.sh_flags & llvm::ELF::SHF_ALLOC;
    bool isWritable = section.sh_flags & llvm::ELF::SHF_WRITE;
    if (isLoaded && isWritable && section.sh_type != llvm::ELF::SHT_DYNAMIC && section.sh_size &&
        *name != ".relro_padding")
      return makeError("the linked code has writable data (" + *name + ")");
    if (isLoaded && !isWritable && section.sh_addr != section.sh_offset)
      return makeError("the linked code does not lie where it is addressed (" + *name + ")");
    if (section.sh_type != llvm::ELF::SHT_SYMTAB)
      continue;
    auto symbols = file->symbols(&section);
    auto strings = file->getStringTableForSymtab(section);
    if (!symbols)
      return symbols.takeError();
    if (!strings)
      return strings.takeError();
    for (const ELF64LE::Sym &symbol : *symbols) {
      llvm::Expected<llvm::StringRef> symbolName = symbol.getName(*strings);
      if (!symbolName)
        return symbolName.takeError();
      if (symbol.getType() == llvm::ELF::STT_FUNC)
        image.symbols[*symbolName] = symbol.st_value;
    }
  }
  image.bytes = bytes.str();
  return image;
}

llvm::Expected<LinkedImage> codegen::linkImage(llvm::ArrayRef<KernelObject> objects) {
  static std::mutex mutex;
  static bool canRun = true;
  std::lock_guard<std::mutex> lock(mutex);
  if (!canRun)
    return makeError("the linker failed before in this process and cannot run again");
  TemporaryFolder folder;
  if (std::error_code error = folder.create())
    return makeError("no temporary folder can be made (" + error.message() + ")");
  std::vector<std::string> arguments = {"ld.lld",
                                        "-shared",
                                        "--threads=1",
                                        "--build-id=none",
                                        "-z",
                                        "defs",
                                        "-z",
                                        "text",
                                        "-z",
                                        "norelro",
                                        "-z",
                                        "noseparate-code",
                                        "--no-rosegment",
                                        "--hash-style=gnu",
                                        "--no-gnu-unique",
                                        "-o",
                                        folder.file("image")};
  for (auto [index, object] : llvm::enumerate(objects)) {
    std::string path = folder.file(llvm::Twine(index) + ".o");
    std::error_code error;
    llvm::raw_fd_ostream out(path, error);
    if (!error) {
      out << object.bytes;
      out.close();
      error = out.error();
      out.clear_error();
    }
    if (error)
      return makeError(path + ": cannot be written (" + error.message() + ")");
    arguments.push_back(path);
  }
  std::vector<const char *> pointers;
  for (const std::string &argument : arguments)
    pointers.push_back(argument.c_str());
  std::string messages;
  llvm::raw_string_ostream log(messages);
  lld::Result result = lld::lldMain(pointers, log, log, {{lld::Gnu, &lld::elf::link}});
  canRun = result.canRunAgain;
  if (result.retCode)
    return makeError("the kernels cannot be linked: " + llvm::StringRef(messages).trim());
  auto buffer = llvm::MemoryBuffer::getFile(folder.file("image"), /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return makeError("the linked image cannot be read (" + buffer.getError().message() + ")");
  return readImage((*buffer)->getBuffer());
}
