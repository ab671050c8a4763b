//===- GGUFTest.cpp - GGUF files, whole and hostile -------------------------------------------===//
//
// A small model is written byte by byte, imported, and then damaged: cut at every byte, each byte
// before the data replaced, each count, size and type made a lie. Every damage is one error, or
// none if it makes another valid file; nothing crashes and nothing is allocated for a count that
// the file does not hold.
//
//===----------------------------------------------------------------------------------------===//

#include "ingot/Import/GGUF.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <cstring>
#include <functional>
#include <map>
#include <random>

using namespace ingot;

namespace {

enum Type : uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64 };

/// Bytes of a file under construction.
struct Bytes : std::string {
  template <typename T> Bytes &put(T number) {
    append(reinterpret_cast<const char *>(&number), sizeof(T));
    return *this;
  }
  Bytes &text(llvm::StringRef text) {
    put<uint64_t>(text.size());
    append(text.data(), text.size());
    return *this;
  }
};

struct Tensor {
  std::string name;
  std::vector<uint64_t> dims; ///< innermost first
  uint32_t type;
  uint64_t offset, bytes;
};

/// A file whose parts can be changed before it is written.
struct File {
  std::string magic = "GGUF";
  uint32_t version = 3;
  uint64_t alignment = 32;
  /// Key and the bytes of type and value.
  std::vector<std::pair<std::string, Bytes>> keys;
  std::vector<Tensor> tensors;
  std::optional<uint64_t> numKeys, numTensors;
  uint64_t dataBytes = 0;

  void number(const std::string &key, uint32_t value) {
    keys.push_back({key, Bytes().put<uint32_t>(U32).put(value)});
  }
  void floating(const std::string &key, float value) {
    keys.push_back({key, Bytes().put<uint32_t>(F32).put(value)});
  }
  void text(const std::string &key, llvm::StringRef value) {
    keys.push_back({key, Bytes().put<uint32_t>(String).text(value)});
  }
  Bytes &value(const std::string &key) {
    for (auto &[name, bytes] : keys)
      if (name == key)
        return bytes;
    keys.push_back({key, Bytes()});
    return keys.back().second;
  }
  Tensor &tensor(const std::string &name) {
    for (Tensor &tensor : tensors)
      if (tensor.name == name)
        return tensor;
    ADD_FAILURE() << name;
    return tensors.front();
  }
  void add(const std::string &name, std::vector<uint64_t> dims, uint32_t type = 0) {
    uint64_t elements = 1;
    for (uint64_t size : dims)
      elements *= size;
    uint64_t bytes = type == 8 ? elements / 32 * 34 : elements * 4;
    tensors.push_back({name, std::move(dims), type, dataBytes, bytes});
    dataBytes += (bytes + alignment - 1) / alignment * alignment;
  }

  /// Everything before the data.
  Bytes head() const {
    Bytes out;
    out += magic;
    out.put(version);
    out.put<uint64_t>(numTensors.value_or(tensors.size()));
    out.put<uint64_t>(numKeys.value_or(keys.size()));
    for (auto &[key, value] : keys)
      out.text(key) += value;
    for (const Tensor &tensor : tensors) {
      out.text(tensor.name).put<uint32_t>(uint32_t(tensor.dims.size()));
      for (uint64_t size : tensor.dims)
        out.put(size);
      out.put(tensor.type).put(tensor.offset);
    }
    return out;
  }
  std::string str() const {
    std::string out = head();
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    // Weights of about one, so that a rope_freqs tensor is valid too.
    for (uint64_t i = 0; i < dataBytes / 4; ++i)
      out.append("\0\0\x80\x3f", 4);
    return out;
  }
};

File makeModel() {
  File file;
  file.text("general.architecture", "llama");
  file.number("llama.context_length", 64);
  file.number("llama.embedding_length", 32);
  file.number("llama.block_count", 1);
  file.number("llama.feed_forward_length", 64);
  file.number("llama.attention.head_count", 4);
  file.number("llama.attention.head_count_kv", 2);
  file.floating("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  file.text("tokenizer.ggml.model", "llama");
  Bytes &tokens = file.value("tokenizer.ggml.tokens");
  tokens.put<uint32_t>(Array).put<uint32_t>(String).put<uint64_t>(4);
  for (const char *token : {"<unk>", "<s>", "</s>", "a"})
    tokens.text(token);
  Bytes &scores = file.value("tokenizer.ggml.scores");
  scores.put<uint32_t>(Array).put<uint32_t>(F32).put<uint64_t>(4);
  Bytes &kinds = file.value("tokenizer.ggml.token_type");
  kinds.put<uint32_t>(Array).put<uint32_t>(I32).put<uint64_t>(4);
  for (int i = 0; i < 4; ++i) {
    scores.put(-float(i));
    kinds.put<int32_t>(i == 0 ? 2 : i < 3 ? 3 : 1);
  }
  file.number("tokenizer.ggml.bos_token_id", 1);
  file.number("tokenizer.ggml.eos_token_id", 2);
  file.add("token_embd.weight", {32, 4}, 8);
  file.add("output_norm.weight", {32});
  file.add("blk.0.attn_norm.weight", {32});
  file.add("blk.0.attn_q.weight", {32, 32}, 8);
  file.add("blk.0.attn_k.weight", {32, 16}, 8);
  file.add("blk.0.attn_v.weight", {32, 16}, 8);
  file.add("blk.0.attn_output.weight", {32, 32});
  file.add("blk.0.ffn_norm.weight", {32});
  file.add("blk.0.ffn_gate.weight", {32, 64});
  file.add("blk.0.ffn_up.weight", {32, 64});
  file.add("blk.0.ffn_down.weight", {64, 32});
  return file;
}

/// Latent attention in its newer form, a dense layer, one of experts and one that is not run.
File makeMixture() {
  File file;
  file.text("general.architecture", "deepseek2");
  file.number("deepseek2.context_length", 64);
  file.number("deepseek2.embedding_length", 32);
  file.number("deepseek2.block_count", 3);
  file.number("deepseek2.nextn_predict_layers", 1);
  file.number("deepseek2.feed_forward_length", 64);
  file.number("deepseek2.leading_dense_block_count", 1);
  file.number("deepseek2.attention.head_count", 2);
  file.number("deepseek2.attention.head_count_kv", 1);
  file.floating("deepseek2.attention.layer_norm_rms_epsilon", 1e-6f);
  file.number("deepseek2.attention.kv_lora_rank", 32);
  file.number("deepseek2.attention.key_length", 36);
  file.number("deepseek2.attention.value_length", 32);
  file.number("deepseek2.attention.key_length_mla", 10);
  file.number("deepseek2.attention.value_length_mla", 6);
  file.number("deepseek2.rope.dimension_count", 4);
  file.number("deepseek2.expert_count", 6);
  file.number("deepseek2.expert_used_count", 2);
  file.number("deepseek2.expert_group_count", 3);
  file.number("deepseek2.expert_group_used_count", 2);
  file.number("deepseek2.expert_gating_func", 2);
  file.number("deepseek2.expert_feed_forward_length", 32);
  file.number("deepseek2.expert_shared_count", 1);
  file.floating("deepseek2.expert_weights_scale", 2.5f);
  file.add("token_embd.weight", {32, 4});
  file.add("output_norm.weight", {32});
  for (const char *p : {"blk.0.", "blk.1."}) {
    std::string prefix = p;
    file.add(prefix + "attn_norm.weight", {32});
    file.add(prefix + "attn_q.weight", {32, 20});
    file.add(prefix + "attn_kv_a_mqa.weight", {32, 36});
    file.add(prefix + "attn_kv_a_norm.weight", {32});
    file.add(prefix + "attn_k_b.weight", {6, 32, 2});
    file.add(prefix + "attn_v_b.weight", {32, 6, 2}, 8);
    file.add(prefix + "attn_output.weight", {12, 32});
    file.add(prefix + "ffn_norm.weight", {32});
  }
  file.add("blk.0.ffn_gate.weight", {32, 64});
  file.add("blk.0.ffn_up.weight", {32, 64});
  file.add("blk.0.ffn_down.weight", {64, 32});
  file.add("blk.1.ffn_gate_inp.weight", {32, 6});
  file.add("blk.1.exp_probs_b.bias", {6});
  file.add("blk.1.ffn_gate_exps.weight", {32, 32, 6}, 8);
  file.add("blk.1.ffn_up_exps.weight", {32, 32, 6}, 8);
  file.add("blk.1.ffn_down_exps.weight", {32, 32, 6}, 8);
  file.add("blk.1.ffn_gate_shexp.weight", {32, 32});
  file.add("blk.1.ffn_up_shexp.weight", {32, 32});
  file.add("blk.1.ffn_down_shexp.weight", {32, 32});
  file.add("blk.2.nextn.eh_proj.weight", {32, 32});
  return file;
}

class GGUF : public testing::Test {
protected:
  void SetUp() override {
    llvm::SmallString<128> path;
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("ingot-gguf", path));
    folder = path.str().str();
  }
  void TearDown() override { llvm::sys::fs::remove_directories(folder); }

  void write(llvm::StringRef name, llvm::StringRef content) {
    std::error_code error;
    llvm::raw_fd_ostream out(folder + "/" + name.str(), error);
    out << content;
  }
  mlir::FailureOr<GGUFModel> import(llvm::StringRef name, bool strict = false) {
    report = ImportReport();
    ImportOptions options;
    options.strict = strict;
    mlir::FailureOr<GGUFModel> model =
        importGGUF(&context, folder + "/" + name.str(), options, report);
    unsigned errors = 0;
    for (const ImportMessage &message : report.messages)
      errors += message.isError;
    EXPECT_EQ(errors, failed(model) ? 1u : 0u);
    if (succeeded(model))
      EXPECT_TRUE(succeeded(mlir::verify(*model->module)));
    return model;
  }
  /// The message of the error that importing `content` is; empty if it is none.
  std::string errorOf(llvm::StringRef content) {
    write("m.gguf", content);
    if (succeeded(import("m.gguf")))
      return "";
    std::string text = report.messages.back().str();
    EXPECT_EQ(text.compare(0, folder.size(), folder), 0) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return text.substr(text.find(": ") + 2);
  }
  std::string errorOf(const std::function<void(File &)> &change) {
    File file = makeModel();
    change(file);
    return errorOf(file.str());
  }

  mlir::MLIRContext context;
  ImportReport report;
  std::string folder;
};

TEST_F(GGUF, ImportsAModel) {
  write("m.gguf", makeModel().str());
  auto model = import("m.gguf", /*strict=*/true);
  ASSERT_TRUE(succeeded(model)) << report.messages.back().str();
  std::string text;
  llvm::raw_string_ostream(text) << *model->module;
  EXPECT_NE(text.find("tfm.parameter \"blk.0.attn_k.weight\" from \"m.gguf\""), std::string::npos);
  EXPECT_NE(text.find("tensor<16x32x!tfm.block<q8_0>>"), std::string::npos);
  EXPECT_NE(text.find("end_ids = array<i64: 2>"), std::string::npos);
  ASSERT_TRUE(model->tokens);
  EXPECT_EQ(model->tokens->tokens, (std::vector<std::string>{"<unk>", "<s>", "</s>", "a"}));
  EXPECT_EQ(model->tokens->scores.back(), -3.0f);
  EXPECT_EQ(model->tokens->kinds.front(), tokenizer::TokenKind::Unknown);
  EXPECT_FALSE(model->tokens->addBos.has_value());

  File older = makeModel();
  older.version = 2;
  EXPECT_EQ(errorOf(older.str()), "");
  // Other alignments, in the key and in the offsets.
  for (uint32_t alignment : {8, 64, 4096}) {
    File file = makeModel();
    file.number("general.alignment", alignment);
    std::vector<Tensor> tensors = std::move(file.tensors);
    file.tensors.clear();
    file.dataBytes = 0;
    file.alignment = alignment;
    for (Tensor &tensor : tensors)
      file.add(tensor.name, tensor.dims, tensor.type);
    EXPECT_EQ(errorOf(file.str()), "");
  }
}

TEST_F(GGUF, ImportsMixtures) {
  write("m.gguf", makeMixture().str());
  auto model = import("m.gguf", /*strict=*/true);
  ASSERT_TRUE(succeeded(model)) << report.messages.back().str();
  std::string text;
  llvm::raw_string_ostream(text) << *model->module;
  // Gate and up of an expert beside each other, in blocks; heads' parts of the latent's matrices.
  EXPECT_NE(text.find("tensor<384x32x!tfm.block<q8_0>>"), std::string::npos);
  EXPECT_NE(text.find("tensor<192x32x!tfm.block<q8_0>>"), std::string::npos);
  EXPECT_NE(text.find("tensor<64x6xf32>"), std::string::npos);
  EXPECT_NE(text.find("tensor<12x32x!tfm.block<q8_0>>"), std::string::npos);
  EXPECT_NE(text.find("groups(3, 2, 2)"), std::string::npos);
  EXPECT_EQ(report.tensorsWithoutEffect, (std::vector<std::string>{"blk.2.nextn.eh_proj.weight"}));
}

TEST_F(GGUF, RefusesMixtures) {
  auto with = [&](const char *key, uint32_t value) {
    File file = makeMixture();
    file.value(key) = Bytes().put<uint32_t>(U32).put(value);
    return errorOf(file.str());
  };
  EXPECT_EQ(with("deepseek2.expert_count", 0),
            "key 'deepseek2.expert_count': expected an integer from 1 to 16384, got u32 0");
  EXPECT_EQ(
      with("deepseek2.expert_count", ~0u),
      "key 'deepseek2.expert_count': expected an integer from 1 to 16384, got u32 4294967295");
  EXPECT_NE(with("deepseek2.expert_count", 9).find("expected shape [9, 32"), std::string::npos);
  EXPECT_EQ(with("deepseek2.expert_used_count", 7),
            "key 'deepseek2.expert_used_count': expected an integer from 1 to 6, got u32 7");
  EXPECT_EQ(with("deepseek2.expert_group_count", 4),
            "key 'deepseek2.expert_group_count': expected groups of at least 2 that divide the 6 "
            "experts, got 4");
  EXPECT_EQ(with("deepseek2.expert_group_used_count", 4),
            "key 'deepseek2.expert_group_used_count': expected groups with room for 2 experts, at "
            "most 3, got 4");
  EXPECT_EQ(with("deepseek2.expert_gating_func", 4),
            "key 'deepseek2.expert_gating_func': expected an integer from 0 to 3, got u32 4");
  EXPECT_NE(with("deepseek2.expert_feed_forward_length", 64).find("expected shape [6, 64, 32]"),
            std::string::npos);
  EXPECT_EQ(with("deepseek2.nextn_predict_layers", 3),
            "key 'deepseek2.nextn_predict_layers': expected fewer than the 3 layers, got 3");
  EXPECT_EQ(with("deepseek2.rope.dimension_count", 10),
            "key 'deepseek2.rope.dimension_count': expected less than the 10 elements of a key, "
            "got 10");
  EXPECT_NE(with("deepseek2.attention.kv_lora_rank", 31).find("expected shape"), std::string::npos);
}

TEST_F(GGUF, SeededMutations) {
  // Several changes at once, anywhere before the data: bytes, copied ranges, and ranges left out.
  std::mt19937 random(7);
  auto below = [&](size_t limit) { return size_t(random() % limit); };
  for (const File &file : {makeModel(), makeMixture()}) {
    std::string whole = file.str();
    size_t head = file.head().size();
    for (int round = 0; round < 300; ++round) {
      std::string other = whole;
      for (size_t changes = 1 + below(4); changes > 0; --changes) {
        size_t at = below(head - 16);
        switch (below(4)) {
        case 0:
          other[at] = char(random());
          break;
        case 1:
          other.replace(at, 8, other.substr(below(head - 16), 8));
          break;
        case 2:
          other.erase(at, 1 + below(12));
          break;
        case 3:
          other.insert(at, other.substr(below(head - 16), 1 + below(12)));
          break;
        }
      }
      (void)errorOf(other); // an error or none, and no crash
    }
  }
}

TEST_F(GGUF, CutAtEveryByte) {
  std::string whole = makeModel().str();
  size_t head = makeModel().head().size();
  for (size_t size = 0; size < whole.size(); size += size < head + 64 ? 1 : 97)
    EXPECT_NE(errorOf(whole.substr(0, size)), "") << size;
  EXPECT_NE(errorOf(whole.substr(0, whole.size() - 1)), "");
}

TEST_F(GGUF, EveryByteChanged) {
  for (const File &file : {makeModel(), makeMixture()}) {
    std::string whole = file.str();
    for (size_t at = 0; at < file.head().size(); ++at) {
      static constexpr int changes[] = {0x01, 0x80, 0xFF};
      std::string other = whole;
      other[at] = char(other[at] ^ changes[at % 3]);
      (void)errorOf(other); // an error or none, and no crash
    }
  }
}

TEST_F(GGUF, NumbersThatLie) {
  // Eight bytes at every place of the head: counts, lengths, dimensions and offsets among them.
  std::string whole = makeModel().str();
  size_t head = makeModel().head().size();
  for (size_t at = 4; at + 8 <= head; ++at) {
    static constexpr uint64_t lies[] = {~uint64_t(0), uint64_t(1) << 63, uint64_t(1) << 32, 0,
                                        (uint64_t(1) << 61) + 1};
    std::string other = whole;
    memcpy(other.data() + at, &lies[at % 5], 8);
    (void)errorOf(other);
  }
}

TEST_F(GGUF, RefusesHeads) {
  EXPECT_EQ(errorOf(""), "expected a GGUF file, which starts with 'GGUF'");
  EXPECT_EQ(errorOf("GGUX0000000"), "expected a GGUF file, which starts with 'GGUF'");
  EXPECT_EQ(errorOf([](File &f) { f.version = 1; }),
            "expected version 2 or 3 of GGUF, got version 1");
  EXPECT_EQ(errorOf([](File &f) { f.version = 4; }),
            "expected version 2 or 3 of GGUF, got version 4");
  EXPECT_EQ(errorOf([](File &f) { f.version = 0x03000000; }),
            "is big-endian, expected a little-endian file");
  EXPECT_NE(errorOf([](File &f) { f.numKeys = ~uint64_t(0); }), "");
  EXPECT_NE(errorOf([](File &f) { f.numTensors = uint64_t(1) << 60; }), "");
  EXPECT_EQ(errorOf([](File &f) { f.keys.push_back(f.keys.front()); }),
            "key 'general.architecture' occurs twice");
  EXPECT_EQ(errorOf([](File &f) { f.keys.back().first = ""; }),
            "key 13 of 14: expected a name of 1 to 65535 bytes, got 0");
  EXPECT_NE(errorOf([](File &f) { f.keys.back().first = "a\nb"; }).find("control characters"),
            std::string::npos);
}

TEST_F(GGUF, RefusesValues) {
  auto withValue = [&](Bytes bytes) {
    return errorOf([&](File &f) { f.keys.push_back({"x.y", std::move(bytes)}); });
  };
  EXPECT_EQ(withValue(Bytes().put<uint32_t>(13).put<uint64_t>(0)),
            "'x.y': unknown type 13, expected 0 to 12");
  EXPECT_EQ(withValue(Bytes().put<uint32_t>(Array).put<uint32_t>(Array).put<uint64_t>(1)),
            "'x.y': arrays of arrays are not supported");
  EXPECT_NE(withValue(Bytes().put<uint32_t>(Array).put<uint32_t>(U64).put<uint64_t>(1ull << 61))
                .find("an array of 2305843009213693952 u64 values, the file has"),
            std::string::npos);
  EXPECT_NE(withValue(Bytes().put<uint32_t>(Array).put<uint32_t>(String).put<uint64_t>(~0ull))
                .find("an array of 18446744073709551615 string values"),
            std::string::npos);
  EXPECT_NE(withValue(Bytes().put<uint32_t>(String).put<uint64_t>(~0ull - 7))
                .find("a string of 18446744073709551608 bytes"),
            std::string::npos);
  auto change = [&](const char *key, Bytes bytes) {
    return errorOf([&](File &f) { f.value(key) = std::move(bytes); });
  };
  EXPECT_EQ(change("general.architecture", Bytes().put<uint32_t>(U32).put<uint32_t>(1)),
            "key 'general.architecture': expected a string, got u32 1");
  EXPECT_NE(change("general.architecture", Bytes().put<uint32_t>(String).text("mamba"))
                .find("expected one of llama, "),
            std::string::npos);
  EXPECT_EQ(change("llama.block_count", Bytes().put<uint32_t>(U32).put<uint32_t>(0)),
            "key 'llama.block_count': expected an integer from 1 to 10000, got u32 0");
  EXPECT_EQ(change("llama.block_count", Bytes().put<uint32_t>(I32).put<int32_t>(-1)),
            "key 'llama.block_count': expected an integer from 1 to 10000, got i32 -1");
  EXPECT_EQ(change("llama.block_count", Bytes().put<uint32_t>(F32).put(1.0f)),
            "key 'llama.block_count': expected an integer from 1 to 10000, got f32 1.000000");
  EXPECT_EQ(change("llama.attention.head_count_kv", Bytes().put<uint32_t>(U32).put<uint32_t>(3)),
            "key 'llama.attention.head_count_kv': expected a divisor of the 4 heads of layer 0, "
            "got 3");
  EXPECT_EQ(errorOf([](File &f) { f.number("llama.rope.dimension_count", 7); }),
            "key 'llama.rope.dimension_count': expected an even number of up to 8, got 7");
  EXPECT_EQ(errorOf([](File &f) { f.text("llama.rope.scaling.type", "twisted"); }),
            "key 'llama.rope.scaling.type': expected one of none, linear, longrope, yarn, "
            "got 'twisted'");
  for (uint32_t alignment : {0, 3, 1 << 30})
    EXPECT_EQ(errorOf([&](File &f) { f.number("general.alignment", alignment); }),
              "'general.alignment': expected a power of two up to 2^20, got u32 " +
                  std::to_string(alignment));
}

TEST_F(GGUF, RefusesTensors) {
  auto change = [&](const std::function<void(Tensor &)> &edit) {
    return errorOf([&](File &f) { edit(f.tensor("blk.0.attn_q.weight")); });
  };
  std::string q = "tensor 'blk.0.attn_q.weight': ";
  EXPECT_EQ(change([](Tensor &t) { t.type = 4; }), q + "unknown type 4");
  EXPECT_EQ(change([](Tensor &t) { t.type = ~0u; }), q + "unknown type 4294967295");
  EXPECT_EQ(change([](Tensor &t) { t.dims = {}; }), q + "expected 1 to 4 dimensions, got 0");
  EXPECT_EQ(change([](Tensor &t) { t.dims.resize(5, 1); }),
            q + "expected 1 to 4 dimensions, got 5");
  for (std::vector<uint64_t> dims : std::vector<std::vector<uint64_t>>{
           {32, 0}, {1ull << 32, 1ull << 32}, {32, 1ull << 63}, {~0ull, 1}, {1ull << 60, 16}})
    EXPECT_NE(change([&](Tensor &t) { t.dims = dims; }).find("expected dimensions of at least 1"),
              std::string::npos);
  EXPECT_EQ(change([](Tensor &t) {
              t.dims = {31, 32};
            }),
            q + "expected rows of whole blocks of Q8_0, got rows of 31 elements");
  EXPECT_NE(change([](Tensor &t) {
              t.dims = {32, 1ull << 40};
            }).find("bytes of data"),
            std::string::npos);
  EXPECT_EQ(change([](Tensor &t) { t.offset += 4; }),
            q + "expected an offset that is a multiple of 32, got 420");
  EXPECT_NE(change([](Tensor &t) { t.offset = ~0ull - 31; }).find("bytes of data"),
            std::string::npos);
  EXPECT_EQ(change([](Tensor &t) { t.offset = 0; }),
            "tensors 'blk.0.attn_q.weight' and 'token_embd.weight' overlap in the file");
  EXPECT_EQ(change([](Tensor &t) { t.name = "blk.0.attn_k.weight"; }),
            "tensor 'blk.0.attn_k.weight' occurs twice");
  EXPECT_NE(change([](Tensor &t) { t.name = ""; }).find("expected a name of 1 to 255 bytes"),
            std::string::npos);
  EXPECT_NE(change([](Tensor &t) { t.name.resize(300, 'x'); }).find("got 300"), std::string::npos);
  // Shapes that keys contradict, and tensors that are missing or of a type that weights have not.
  EXPECT_NE(change([](Tensor &t) {
              t.dims = {64, 16};
            }).find("expected shape [32, 32] by the file's keys, got [16, 64]"),
            std::string::npos);
  EXPECT_NE(change([](Tensor &t) { t.name = "other"; }).find("is missing"), std::string::npos);
  EXPECT_NE(change([](Tensor &t) { t.type = 24; }).find("got I8"), std::string::npos);
}

TEST_F(GGUF, RefusesTokenizers) {
  EXPECT_EQ(errorOf([](File &f) {
              f.value("tokenizer.ggml.tokens") = Bytes().put<uint32_t>(U32).put<uint32_t>(1);
            }),
            "key 'tokenizer.ggml.tokens': expected an array of strings, got u32 1");
  EXPECT_EQ(errorOf([](File &f) {
              f.value("tokenizer.ggml.scores") =
                  Bytes().put<uint32_t>(Array).put<uint32_t>(F32).put<uint64_t>(1).put(1.0f);
            }),
            "key 'tokenizer.ggml.scores': expected a number for each of the 4 tokens, got an array "
            "of 1 f32");
  EXPECT_EQ(errorOf([](File &f) {
              f.value("tokenizer.ggml.eos_token_id") = Bytes().put<uint32_t>(U32).put<uint32_t>(4);
            }),
            "key 'tokenizer.ggml.eos_token_id': expected an id from 0 to 3, got u32 4");
}

TEST_F(GGUF, ReadsParts) {
  File whole = makeModel(), second;
  auto part = [](File &file, uint16_t number, uint16_t count, int32_t tensors) {
    file.keys.push_back({"split.no", Bytes().put<uint32_t>(U16).put(number)});
    file.keys.push_back({"split.count", Bytes().put<uint32_t>(U16).put(count)});
    file.keys.push_back({"split.tensors.count", Bytes().put<uint32_t>(I32).put(tensors)});
  };
  std::vector<Tensor> tensors = std::move(whole.tensors);
  whole.tensors.clear();
  whole.dataBytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i)
    (i < 4 ? whole : second).add(tensors[i].name, tensors[i].dims, tensors[i].type);
  part(whole, 0, 2, 11);
  part(second, 1, 2, 11);
  write("m-00001-of-00002.gguf", whole.str());
  write("m-00002-of-00002.gguf", second.str());
  EXPECT_TRUE(succeeded(import("m-00001-of-00002.gguf", /*strict=*/true)));

  auto error = [&](llvm::StringRef name) {
    EXPECT_TRUE(failed(import(name)));
    return report.messages.back().str().substr(folder.size() + 1);
  };
  EXPECT_EQ(error("m-00002-of-00002.gguf"), "m-00002-of-00002.gguf: is part 2 of 2, expected the "
                                            "first, m-00001-of-00002.gguf");
  write("n.gguf", whole.str());
  EXPECT_EQ(error("n.gguf"),
            "n.gguf: is one of 2 parts, expected a name like NAME-00001-of-00002.gguf");
  write("k-00001-of-00002.gguf", whole.str());
  EXPECT_EQ(error("k-00001-of-00002.gguf"),
            "k-00002-of-00002.gguf: cannot be read (No such file or directory)");
  write("k-00002-of-00002.gguf", whole.str());
  EXPECT_NE(error("k-00001-of-00002.gguf").find("occurs twice"), std::string::npos);
  File third;
  part(third, 0, 2, 11);
  write("k-00002-of-00002.gguf", third.str());
  EXPECT_EQ(error("k-00001-of-00002.gguf"),
            "k-00002-of-00002.gguf: expected part 2 of 2 by 'split.no' and 'split.count'");
  third = File();
  part(third, 1, 2, 11);
  write("k-00002-of-00002.gguf", third.str());
  EXPECT_EQ(error("k-00001-of-00002.gguf"),
            "k-00001-of-00002.gguf: expected 11 tensors in all parts, got 4");
  EXPECT_EQ(error("."), ".: expected a GGUF file");
}

} // namespace
