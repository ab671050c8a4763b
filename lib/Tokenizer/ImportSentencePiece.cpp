//===- ImportSentencePiece.cpp - tokenizer.model ----------------------------===//
//
// A SentencePiece model is a protocol buffer of few fields, read here without the protobuf library:
//
//   ModelProto      1: pieces, 2: trainer_spec, 3: normalizer_spec, 5: denormalizer_spec
//   SentencePiece   1: piece, 2: score (float), 3: type
//   TrainerSpec     3: model_type, 24: treat_whitespace_as_suffix, 35: byte_fallback,
//                   44: unk_surface, 45-48: names of the unknown, begin, end and padding pieces
//   NormalizerSpec  2: precompiled_charsmap, 3: add_dummy_prefix, 4: remove_extra_whitespaces,
//                   5: escape_whitespaces
//
//===----------------------------------------------------------------------===//

#include "ImportSupport.h"

#include <cstdio>
#include <cstring>

namespace ingot::tokenizer {

namespace {

/// Reads the fields of one message. Anything that does not fit into the message is an ImportError.
class MessageReader {
public:
  explicit MessageReader(std::string_view bytes) : bytes(bytes) {}

  uint32_t field = 0;

  /// Moves to the next field; false at the end.
  bool next() {
    if (position == bytes.size())
      return false;
    uint64_t key = varint();
    field = uint32_t(key >> 3);
    wire = unsigned(key & 7);
    if (field == 0 || key >> 3 > 0x1FFFFFFF)
      fail("field number " + std::to_string(key >> 3));
    switch (wire) {
    case 0:
      integer = varint();
      break;
    case 1:
      text = take(8);
      break;
    case 2:
      text = take(varint());
      break;
    case 5:
      text = take(4);
      break;
    default:
      fail("wire type " + std::to_string(wire));
    }
    return true;
  }

  uint64_t asInteger() const { return expect(0), integer; }
  bool asBool() const { return asInteger() != 0; }
  std::string_view asBytes() const { return expect(2), text; }
  float asFloat() const {
    expect(5);
    float value;
    std::memcpy(&value, text.data(), sizeof(value));
    return value;
  }

private:
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (position == bytes.size())
        fail("the end in the middle of a number");
      uint8_t byte = uint8_t(bytes[position++]);
      value |= uint64_t(byte & 0x7F) << (shift < 64 ? shift : 63);
      if (!(byte & 0x80))
        return value;
    }
    fail("a number of more than ten bytes");
  }
  std::string_view take(uint64_t size) {
    if (size > bytes.size() - position)
      fail("a field of " + std::to_string(size) + " bytes with " +
           std::to_string(bytes.size() - position) + " left");
    std::string_view result = bytes.substr(position, size_t(size));
    position += size_t(size);
    return result;
  }
  void expect(unsigned type) const {
    if (wire != type)
      fail("wire type " + std::to_string(wire) + " of field " + std::to_string(field) +
           ", expected " + std::to_string(type));
  }
  [[noreturn]] static void fail(const std::string &what) {
    throw ImportError("not a SentencePiece model: " + what);
  }

  std::string_view bytes;
  size_t position = 0;
  unsigned wire = 0;
  uint64_t integer = 0;
  std::string_view text;
};

struct NormalizerFields {
  std::string_view charsmap;
  bool addDummyPrefix = true, removeExtraWhitespaces = true, escapeWhitespaces = true;

  void read(std::string_view bytes) {
    for (MessageReader message(bytes); message.next();)
      switch (message.field) {
      case 2:
        charsmap = message.asBytes();
        break;
      case 3:
        addDummyPrefix = message.asBool();
        break;
      case 4:
        removeExtraWhitespaces = message.asBool();
        break;
      case 5:
        escapeWhitespaces = message.asBool();
        break;
      }
  }
};

class ModelReader {
public:
  TokenizerSpec read(std::string_view bytes) {
    bool isModel = false;
    for (MessageReader message(bytes); message.next();)
      switch (message.field) {
      case 1:
        readPiece(message.asBytes());
        isModel = true;
        break;
      case 2:
        readTrainer(message.asBytes());
        break;
      case 3:
        normalizer.read(message.asBytes());
        break;
      case 5:
        denormalizer.read(message.asBytes());
        break;
      }
    if (!isModel)
      throw ImportError("not a SentencePiece model: no pieces");
    if (!denormalizer.charsmap.empty())
      throw ImportError("a denormaliser is not supported");
    finish();
    return std::move(spec);
  }

private:
  void readPiece(std::string_view bytes) {
    size_t id = spec.model.tokens.size();
    auto where = [&] { return "piece " + std::to_string(id); };
    if (id >= maxVocabulary)
      throw ImportError("expected at most " + std::to_string(maxVocabulary) + " pieces");
    Token token;
    token.kind = TokenKind::Normal;
    for (MessageReader message(bytes); message.next();)
      switch (message.field) {
      case 1:
        token.text = std::string(message.asBytes());
        break;
      case 2:
        token.score = message.asFloat();
        break;
      case 3: {
        static constexpr TokenKind kinds[] = {
            TokenKind::Absent,      TokenKind::Normal, TokenKind::Unknown, TokenKind::Control,
            TokenKind::UserDefined, TokenKind::Unused, TokenKind::Byte};
        uint64_t type = message.asInteger();
        if (type < 1 || type > 6)
          throw ImportError(where() + ": unknown type " + std::to_string(type));
        token.kind = kinds[type];
        break;
      }
      }
    if (token.text.empty())
      throw ImportError(where() + " is empty");
    spec.model.tokens.push_back(std::move(token));
  }

  void readTrainer(std::string_view bytes) {
    for (MessageReader message(bytes); message.next();)
      switch (message.field) {
      case 3:
        modelType = message.asInteger();
        break;
      case 24:
        whitespaceAsSuffix = message.asBool();
        break;
      case 35:
        spec.model.byteFallback = message.asBool();
        break;
      case 44:
        unknownSurface = std::string(message.asBytes());
        break;
      case 46:
        bosPiece = std::string(message.asBytes());
        break;
      case 47:
        eosPiece = std::string(message.asBytes());
        break;
      case 48:
        padPiece = std::string(message.asBytes());
        break;
      }
  }

  void finish() {
    ModelSpec &model = spec.model;
    static constexpr ModelKind kinds[] = {ModelKind::SentencePieceUnigram, // types start at 1
                                          ModelKind::SentencePieceUnigram,
                                          ModelKind::SentencePieceBPE, ModelKind::SentencePieceWord,
                                          ModelKind::SentencePieceChar};
    if (modelType < 1 || modelType > 4)
      throw ImportError("unknown type of model " + std::to_string(modelType));
    model.kind = kinds[modelType];

    // The library keeps two name spaces; within one, names are unique.
    std::unordered_map<std::string_view, int32_t> ordinary, reserved;
    bool byteFound[256] = {};
    constexpr std::string_view hexDigits = "0123456789ABCDEF";
    for (size_t id = 0; id < model.tokens.size(); ++id) {
      const Token &token = model.tokens[id];
      bool isOrdinary = token.kind == TokenKind::Normal || token.kind == TokenKind::UserDefined ||
                        token.kind == TokenKind::Unused;
      if (!(isOrdinary ? ordinary : reserved).try_emplace(token.text, int32_t(id)).second)
        throw ImportError("piece '" + token.text + "' is defined twice");
      if (token.kind == TokenKind::Unknown) {
        if (model.unknownId >= 0)
          throw ImportError("two unknown pieces, " + std::to_string(model.unknownId) + " and " +
                            std::to_string(id));
        model.unknownId = int32_t(id);
      }
      if (token.kind == TokenKind::Byte) {
        auto digit = [&](size_t i) { return hexDigits.find(token.text[i]); };
        if (token.text.size() != 6 || token.text.compare(0, 3, "<0x") != 0 ||
            token.text[5] != '>' || digit(3) == hexDigits.npos || digit(4) == hexDigits.npos)
          throw ImportError("expected a byte piece like <0x0A>, got '" + token.text + "'");
        byteFound[digit(3) * 16 + digit(4)] = true;
      }
    }
    if (model.unknownId < 0)
      throw ImportError("no piece is the unknown one");
    model.hasUnknown = true;
    if (model.byteFallback)
      for (unsigned byte = 0; byte < 256; ++byte)
        if (!byteFound[byte])
          throw ImportError("bytes stand for unknown text, but byte " + std::to_string(byte) +
                            " has no piece");
    auto control = [&](const std::string &name, const char *fallback) {
      auto it = reserved.find(name.empty() ? fallback : name);
      bool found =
          it != reserved.end() && model.tokens[size_t(it->second)].kind == TokenKind::Control;
      return found ? it->second : -1;
    };
    spec.special.unk = model.unknownId;
    spec.special.bos = control(bosPiece, "<s>");
    spec.special.eos = control(eosPiece, "</s>");
    spec.special.pad = control(padPiece, "<pad>");

    NormalizerStep step;
    step.kind = NormalizerKind::SentencePiece;
    step.addDummyPrefix = normalizer.addDummyPrefix;
    step.removeExtraWhitespaces = normalizer.removeExtraWhitespaces;
    step.escapeWhitespaces = normalizer.escapeWhitespaces;
    step.whitespaceAsSuffix = whitespaceAsSuffix;
    if (!normalizer.charsmap.empty()) {
      step.charsmap = 0;
      spec.charsmaps.push_back(parseCharsmap(normalizer.charsmap));
    }
    addSentencePieceDecoder(spec, step, unknownSurface);
    spec.normalizer.push_back(std::move(step));
  }

  TokenizerSpec spec;
  NormalizerFields normalizer, denormalizer;
  uint64_t modelType = 1;
  bool whitespaceAsSuffix = false;
  std::string unknownSurface = " \xE2\x81\x87 ";
  std::string bosPiece, eosPiece, padPiece;
};

} // namespace

TokenizerSpec readSentencePiece(std::string_view bytes) { return ModelReader().read(bytes); }

Result<TokenizerSpec> importSentencePiece(std::string_view bytes) {
  return guarded([&] { return readSentencePiece(bytes); });
}

//===----------------------------------------------------------------------===//
// llama2.c
//===----------------------------------------------------------------------===//

// u32 longest token, then for each token f32 score, u32 length, bytes. The first three tokens are
// unknown, begin and end; the next 256 the bytes. Spaces are spelled as spaces.
Result<TokenizerSpec> importLlama2c(std::string_view bytes) {
  return guarded([&] {
    size_t position = 4;
    TokenizerSpec spec;
    ModelSpec &model = spec.model;
    model.kind = ModelKind::SentencePieceBPE;
    while (position < bytes.size()) {
      uint32_t length;
      float score;
      if (bytes.size() - position < 8)
        throw ImportError("the end in the middle of token " + std::to_string(model.tokens.size()));
      std::memcpy(&score, bytes.data() + position, 4);
      std::memcpy(&length, bytes.data() + position + 4, 4);
      position += 8;
      if (length > bytes.size() - position || length == 0)
        throw ImportError("token " + std::to_string(model.tokens.size()) + " of " +
                          std::to_string(length) + " bytes with " +
                          std::to_string(bytes.size() - position) + " left");
      Token token;
      token.score = score;
      token.kind = TokenKind::Normal;
      for (char c : bytes.substr(position, length)) {
        if (c == ' ')
          token.text += "\xE2\x96\x81";
        else
          token.text += c;
      }
      position += length;
      model.tokens.push_back(std::move(token));
    }
    if (model.tokens.size() < 259)
      throw ImportError("expected at least 259 tokens, got " + std::to_string(model.tokens.size()));
    model.tokens[0].kind = TokenKind::Unknown;
    model.tokens[1] = {"<s>", 0, TokenKind::Control};
    model.tokens[2] = {"</s>", 0, TokenKind::Control};
    for (size_t id = 3; id < 259; ++id) {
      char name[8];
      std::snprintf(name, sizeof(name), "<0x%02X>", unsigned(id - 3));
      if (model.tokens[id].text != name)
        throw ImportError("expected token " + std::to_string(id) + " to be " + name + ", got '" +
                          model.tokens[id].text + "'");
      model.tokens[id].kind = TokenKind::Byte;
    }
    model.hasUnknown = model.byteFallback = true;
    model.unknownId = 0;
    spec.special = {1, 2, 0, -1, -1, -1, -1};
    surround(spec, 1, -1);
    NormalizerStep step;
    step.kind = NormalizerKind::SentencePiece;
    step.addDummyPrefix = step.escapeWhitespaces = true;
    addSentencePieceDecoder(spec, step, "<unk>");
    spec.normalizer.push_back(std::move(step));
    return spec;
  });
}

} // namespace ingot::tokenizer
