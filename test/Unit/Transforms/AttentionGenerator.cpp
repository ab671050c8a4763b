//===- AttentionGenerator.cpp - attention in many writings, as MLIR text ----------------------===//

#include "AttentionGenerator.h"
#include "ingot/Reference/Random.h"
#include <algorithm>
#include <cassert>
#include <functional>
#include <numeric>

using namespace ingot;
using namespace ingot::test;

namespace {

/// Sizes that may be dynamic.
constexpr int64_t kQueries = -1, kKeys = -2;
using Shape = std::vector<int64_t>;

struct Tensor {
  std::string name;
  Shape shape;
  std::string element = "f32";
};

class Writer {
public:
  Writer(uint64_t seed, Broken broken) : seed(seed), broken(broken) {}
  GeneratedAttention write();

private:
  //===--- chance -----------------------------------------------------------===//
  int64_t pick(int64_t count) { return reference::randomBits(seed, counter++) % count; }
  bool chance(int percent) { return pick(100) < percent; }
  template <typename T> T oneOf(std::initializer_list<T> list) {
    return *(list.begin() + pick(list.size()));
  }

  //===--- text -------------------------------------------------------------===//
  int64_t sizeOf(int64_t dim) const {
    return dim == kQueries ? queries : dim == kKeys ? keys : dim;
  }
  std::string typeOf(const Shape &shape, const std::string &element) const;
  std::string typeOf(const Tensor &tensor) const { return typeOf(tensor.shape, tensor.element); }
  /// The dynamic sizes of a shape, in brackets.
  std::string sizesOf(const Shape &shape, char open, char close) const;
  Tensor emit(const Shape &shape, const std::string &element, const std::string &operation);
  Tensor argument(const Shape &shape, const std::string &element = "f32");
  std::string scalarArgument();
  Tensor empty(const Shape &shape, const std::string &element) {
    return emit(shape, element,
                "tensor.empty" + sizesOf(shape, '(', ')') + " : " + typeOf(shape, element));
  }

  //===--- operations -------------------------------------------------------===//
  Tensor binary(const char *op, const Tensor &a, const Tensor &b) {
    return emit(a.shape, a.element,
                std::string(op) + " " + a.name + ", " + b.name + " : " + typeOf(a));
  }
  Tensor unary(const char *op, const Tensor &a) {
    return emit(a.shape, a.element, std::string(op) + " " + a.name + " : " + typeOf(a));
  }
  /// Commuted by chance.
  Tensor commuted(const char *op, const Tensor &a, const Tensor &b) {
    return chance(50) ? binary(op, a, b) : binary(op, b, a);
  }
  Tensor splat(const Shape &shape, const std::string &value, const std::string &element = "f32");
  Tensor transpose(const Tensor &x, const std::vector<int64_t> &permutation);
  Tensor broadcast(const Tensor &x, const Shape &shape, const std::vector<int64_t> &dims);
  /// Dimensions `first` and the next merged into one, and back.
  Tensor merge(const Tensor &x, size_t first, int64_t size);
  Tensor split(const Tensor &x, size_t dim, int64_t high, int64_t low);
  Tensor select(const Tensor &condition, const Tensor &a, const Tensor &b);
  Tensor cast(const char *op, const Tensor &x, const std::string &element);
  /// Something that changes nothing, by chance.
  Tensor identity(Tensor x);
  Tensor matmul(Tensor a, Tensor b, bool transposeB, const Shape &result);
  /// Times `factor` (or divided by its inverse), in one of several writings.
  Tensor scaled(const Tensor &x, double factor);

  //===--- masks ------------------------------------------------------------===//
  /// j <= i, or i - j < window: i1 of [S, T].
  Tensor positionsMask(int64_t window);
  Tensor tableMask(int64_t window);
  Tensor maskTable(const std::string &element, int64_t window, const std::string &kept,
                   const std::string &dropped);
  Tensor keepMask(int64_t window);
  std::string bigNumber();
  Tensor masked(const Tensor &scores);
  Tensor expandMask(const Tensor &mask) {
    std::vector<int64_t> dims(scoreShape.size() - 2);
    std::iota(dims.begin(), dims.end(), 0);
    return dims.empty() ? mask : broadcast(mask, scoreShape, dims);
  }

  uint64_t seed, counter = 0;
  Broken broken;
  bool dynamic = false;
  int64_t queries = 0, keys = 0, heads = 0, keyHeads = 0, headSize = 0, valueSize = 0, batch = 0;
  Shape scoreShape;
  std::string body, arguments;
  std::vector<int64_t> dims;
  int next = 0;
};

std::string Writer::typeOf(const Shape &shape, const std::string &element) const {
  std::string text = "tensor<";
  for (int64_t dim : shape)
    text += (dim < 0 && dynamic ? "?" : std::to_string(sizeOf(dim))) + "x";
  return text + element + ">";
}

std::string Writer::sizesOf(const Shape &shape, char open, char close) const {
  std::string text;
  if (dynamic)
    for (int64_t dim : shape)
      if (dim < 0)
        text += (text.empty() ? "" : ", ") + std::string(dim == kQueries ? "%queries" : "%keys");
  return text.empty() && open == '[' ? "" : open + text + close;
}

Tensor Writer::emit(const Shape &shape, const std::string &element, const std::string &operation) {
  Tensor result{"%" + std::to_string(next++), shape, element};
  body += "  " + result.name + " = " + operation + "\n";
  return result;
}

Tensor Writer::argument(const Shape &shape, const std::string &element) {
  Tensor result{"%arg" + std::to_string(next++), shape, element};
  arguments += (arguments.empty() ? "" : ", ") + result.name + ": " + typeOf(result);
  if (dynamic)
    for (int64_t dim : shape)
      if (dim < 0)
        dims.push_back(sizeOf(dim));
  return result;
}

std::string Writer::scalarArgument() {
  std::string name = "%arg" + std::to_string(next++);
  arguments += (arguments.empty() ? "" : ", ") + name + ": f32";
  return name;
}

Tensor Writer::splat(const Shape &shape, const std::string &value, const std::string &element) {
  bool isDynamic =
      dynamic && std::any_of(shape.begin(), shape.end(), [](int64_t d) { return d < 0; });
  if (!isDynamic && chance(50))
    return emit(shape, element, "arith.constant dense<" + value + "> : " + typeOf(shape, element));
  std::string scalar = "%c" + std::to_string(next++);
  body += "  " + scalar + " = arith.constant " + value + (element == "i1" ? "" : " : " + element) +
          "\n";
  if (chance(50))
    return emit(shape, element,
                "tensor.splat " + scalar + sizesOf(shape, '[', ']') + " : " +
                    typeOf(shape, element));
  Tensor init = empty(shape, element);
  return emit(shape, element,
              "linalg.fill ins(" + scalar + " : " + element + ") outs(" + init.name + " : " +
                  typeOf(init) + ") -> " + typeOf(init));
}

static std::string listOf(const std::vector<int64_t> &numbers) {
  std::string text = "[";
  for (int64_t number : numbers)
    text += (text.size() > 1 ? ", " : "") + std::to_string(number);
  return text + "]";
}

Tensor Writer::transpose(const Tensor &x, const std::vector<int64_t> &permutation) {
  Shape shape;
  for (int64_t dim : permutation)
    shape.push_back(x.shape[dim]);
  Tensor init = empty(shape, x.element);
  return emit(shape, x.element,
              "linalg.transpose ins(" + x.name + " : " + typeOf(x) + ") outs(" + init.name + " : " +
                  typeOf(init) + ") permutation = " + listOf(permutation));
}

Tensor Writer::broadcast(const Tensor &x, const Shape &shape, const std::vector<int64_t> &dims) {
  Tensor init = empty(shape, x.element);
  return emit(shape, x.element,
              "linalg.broadcast ins(" + x.name + " : " + typeOf(x) + ") outs(" + init.name + " : " +
                  typeOf(init) + ") dimensions = " + listOf(dims));
}

/// Groups in which dimension `dim` of the smaller shape of `rank` stands for two.
static std::string groupsOf(size_t rank, size_t dim) {
  std::string text = "[";
  for (size_t k = 0, source = 0; k < rank; ++k) {
    text += std::string(k ? ", " : "") + "[" + std::to_string(source++);
    if (k == dim)
      text += ", " + std::to_string(source++);
    text += "]";
  }
  return text + "]";
}

Tensor Writer::merge(const Tensor &x, size_t first, int64_t size) {
  Shape shape = x.shape;
  shape.erase(shape.begin() + first);
  shape[first] = size;
  return emit(shape, x.element,
              "tensor.collapse_shape " + x.name + " " + groupsOf(shape.size(), first) + " : " +
                  typeOf(x) + " into " + typeOf(shape, x.element));
}

Tensor Writer::split(const Tensor &x, size_t dim, int64_t high, int64_t low) {
  Shape shape = x.shape;
  shape[dim] = high;
  shape.insert(shape.begin() + dim + 1, low);
  std::string sizes;
  for (int64_t size : shape)
    sizes +=
        (sizes.empty() ? "" : ", ") + (size == kQueries && dynamic ? "%queries"
                                       : size == kKeys && dynamic  ? "%keys"
                                                                   : std::to_string(sizeOf(size)));
  return emit(shape, x.element,
              "tensor.expand_shape " + x.name + " " + groupsOf(x.shape.size(), dim) +
                  " output_shape [" + sizes + "] : " + typeOf(x) + " into " +
                  typeOf(shape, x.element));
}

Tensor Writer::select(const Tensor &condition, const Tensor &a, const Tensor &b) {
  return emit(a.shape, a.element,
              "arith.select " + condition.name + ", " + a.name + ", " + b.name + " : " +
                  typeOf(condition) + ", " + typeOf(a));
}

Tensor Writer::cast(const char *op, const Tensor &x, const std::string &element) {
  return emit(x.shape, element,
              std::string(op) + " " + x.name + " : " + typeOf(x) + " to " +
                  typeOf(x.shape, element));
}

Tensor Writer::identity(Tensor x) {
  switch (pick(9)) {
  case 0:
    return cast("arith.truncf", cast("arith.extf", x, "f64"), "f32");
  case 1: {
    std::vector<int64_t> permutation(x.shape.size()), inverse(x.shape.size());
    std::iota(permutation.begin(), permutation.end(), 0);
    for (size_t k = permutation.size(); k-- > 1;)
      std::swap(permutation[k], permutation[pick(k + 1)]);
    for (size_t k = 0; k < permutation.size(); ++k)
      inverse[permutation[k]] = k;
    return transpose(transpose(x, permutation), inverse);
  }
  case 2: {
    size_t dim = pick(x.shape.size());
    int64_t size = x.shape[dim];
    return merge(chance(50) ? split(x, dim, 1, size) : split(x, dim, size, 1), dim, size);
  }
  case 3:
    return binary("arith.mulf", x, splat(x.shape, "1.0"));
  case 4:
    return commuted("arith.addf", x, splat(x.shape, "0.0"));
  case 5:
    return unary("arith.negf", unary("arith.negf", x));
  default:
    return x;
  }
}

Tensor Writer::matmul(Tensor a, Tensor b, bool transposeB, const Shape &result) {
  size_t rank = a.shape.size();
  auto swapLast = [&](const Tensor &x) {
    std::vector<int64_t> permutation(rank);
    std::iota(permutation.begin(), permutation.end(), 0);
    std::swap(permutation[rank - 1], permutation[rank - 2]);
    return transpose(x, permutation);
  };
  // As it is, with the operand transposed beforehand, or by linalg.
  if (chance(35)) {
    b = swapLast(b);
    transposeB = !transposeB;
  }
  if (rank == 3 && !transposeB && chance(40)) {
    Tensor zero = splat(result, "0.0");
    return emit(result, "f32",
                "linalg.batch_matmul ins(" + a.name + ", " + b.name + " : " + typeOf(a) + ", " +
                    typeOf(b) + ") outs(" + zero.name + " : " + typeOf(zero) + ") -> " +
                    typeOf(zero));
  }
  if (chance(15)) {
    // The transposed product of the transposed operands.
    Tensor left = transposeB ? b : swapLast(b);
    Shape turned = result;
    std::swap(turned[rank - 1], turned[rank - 2]);
    Tensor product =
        emit(turned, "f32",
             "tfm.matmul " + left.name + ", " + a.name + " transpose_b : " + typeOf(left) + ", " +
                 typeOf(a) + " -> " + typeOf(turned, "f32"));
    return swapLast(product);
  }
  return emit(result, "f32",
              "tfm.matmul " + a.name + ", " + b.name + (transposeB ? " transpose_b" : "") + " : " +
                  typeOf(a) + ", " + typeOf(b) + " -> " + typeOf(result, "f32"));
}

Tensor Writer::scaled(const Tensor &x, double factor) {
  bool divide = chance(40);
  if (chance(20)) {
    // A number that is known at run time only.
    std::string value = scalarArgument();
    if (chance(50))
      return commuted(
          "arith.mulf", x,
          emit(x.shape, "f32",
               "tensor.splat " + value + sizesOf(x.shape, '[', ']') + " : " + typeOf(x)));
    Tensor scalar = emit({}, "f32", "tensor.from_elements " + value + " : tensor<f32>");
    std::vector<int64_t> dims(x.shape.size());
    std::iota(dims.begin(), dims.end(), 0);
    return commuted("arith.mulf", x, broadcast(scalar, x.shape, dims));
  }
  Tensor number = splat(x.shape, std::to_string(divide ? 1 / factor : factor));
  return divide ? binary("arith.divf", x, number) : commuted("arith.mulf", x, number);
}

Tensor Writer::positionsMask(int64_t window) {
  Shape shape = {kQueries, kKeys};
  Tensor i, j;
  if (chance(50)) {
    // Two tensors of positions.
    Tensor init = empty(shape, "i32");
    auto iota = [&](int dim) {
      std::string id = std::to_string(next++);
      return emit(shape, "i32",
                  "linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>], "
                  "iterator_types = [\"parallel\", \"parallel\"]} outs(" +
                      init.name + " : " + typeOf(init) + ") {\n  ^bb0(%o: i32):\n    %x" + id +
                      " = linalg.index " + std::to_string(dim) + " : index\n    %y" + id +
                      " = arith.index_cast %x" + id + " : index to i32\n    linalg.yield %y" + id +
                      " : i32\n  } -> " + typeOf(init));
    };
    i = iota(0);
    j = iota(1);
  } else {
    Tensor rows = argument({kQueries}), columns = argument({kKeys});
    auto positions = [&](const Tensor &x) {
      return emit(x.shape, "i32",
                  "tfm.positions " + x.name + " : " + typeOf(x) + " -> " + typeOf(x.shape, "i32"));
    };
    i = broadcast(positions(rows), shape, {1});
    j = broadcast(positions(columns), shape, {0});
  }
  auto compare = [&](const char *predicate, const Tensor &a, const Tensor &b) {
    return emit(shape, "i1",
                std::string("arith.cmpi ") + predicate + ", " + a.name + ", " + b.name + " : " +
                    typeOf(a));
  };
  Tensor causal;
  switch (pick(4)) {
  case 0:
    causal = compare("sle", j, i);
    break;
  case 1:
    causal = compare("sge", i, j);
    break;
  case 2:
    causal = compare("slt", j, binary("arith.addi", i, splat(shape, "1", "i32")));
    break;
  default:
    causal = binary("arith.xori", compare("sgt", j, i), splat(shape, "true", "i1"));
    break;
  }
  if (window == 0)
    return causal;
  Tensor near =
      compare("slt", binary("arith.subi", i, j), splat(shape, std::to_string(window), "i32"));
  return commuted("arith.andi", causal, near);
}

/// A constant of [S, T], or a larger one that is cut to it.
Tensor Writer::maskTable(const std::string &element, int64_t window, const std::string &kept,
                         const std::string &dropped) {
  int64_t rows = dynamic ? queries + 3 : queries, columns = dynamic ? keys + 5 : keys;
  std::string text = "[";
  for (int64_t i = 0; i < rows; ++i) {
    text += i ? ", [" : "[";
    for (int64_t j = 0; j < columns; ++j)
      text += (j ? ", " : "") + (j <= i && (window == 0 || i - j < window) ? kept : dropped);
    text += "]";
  }
  std::string type =
      "tensor<" + std::to_string(rows) + "x" + std::to_string(columns) + "x" + element + ">";
  if (!dynamic)
    return emit({kQueries, kKeys}, element, "arith.constant dense<" + text + "]> : " + type);
  std::string whole = "%t" + std::to_string(next++);
  body += "  " + whole + " = arith.constant dense<" + text + "]> : " + type + "\n";
  Shape shape = {kQueries, kKeys};
  return emit(shape, element,
              "tensor.extract_slice " + whole + "[0, 0] [%queries, %keys] [1, 1] : " + type +
                  " to " + typeOf(shape, element));
}

Tensor Writer::keepMask(int64_t window) {
  switch (pick(3)) {
  case 0:
    return maskTable("i1", window, "true", "false");
  case 1: {
    // A table of 0 and 1, compared with 0.
    Tensor table = maskTable("f32", window, "1.0", "0.0");
    return emit(table.shape, "i1",
                "arith.cmpf une, " + table.name + ", " + splat(table.shape, "0.0").name + " : " +
                    typeOf(table));
  }
  default:
    return positionsMask(window);
  }
}

std::string Writer::bigNumber() {
  return oneOf<std::string>({"-1.0e+09", "-3.0e+10", "-3.40282347E+38", "0xFF800000"});
}

Tensor Writer::masked(const Tensor &scores) {
  // With fewer keys than queries a window leaves rows without a key.
  int64_t window = queries == keys && chance(40) ? 1 + pick(keys) : 0;
  switch (pick(6)) {
  case 0: // where
    return select(expandMask(keepMask(window)), scores, splat(scoreShape, bigNumber()));
  case 1: { // where, of the opposite condition
    Tensor keep = keepMask(window);
    Tensor drop = binary("arith.xori", keep, splat(keep.shape, "true", "i1"));
    return select(expandMask(drop), splat(scoreShape, bigNumber()), scores);
  }
  case 2: // a triangular constant that is added
    return commuted("arith.addf", scores, expandMask(maskTable("f32", window, "0.0", bigNumber())));
  case 3: { // (1 - keep) * a large negative number
    Tensor keep = cast("arith.uitofp", keepMask(window), "f32");
    Tensor drop = binary("arith.subf", splat(keep.shape, "1.0"), keep);
    Tensor mask = commuted("arith.mulf", drop,
                           splat(drop.shape, oneOf<std::string>({"-1.0e+09", "-3.0e+38"})));
    return commuted("arith.addf", scores, expandMask(mask));
  }
  case 4: { // keep * scores + (1 - keep) * a large negative number
    Tensor keep = cast("arith.uitofp", keepMask(window), "f32");
    Tensor drop = binary("arith.subf", splat(keep.shape, "1.0"), keep);
    Tensor mask = commuted("arith.mulf", drop, splat(drop.shape, "1.0e+09"));
    Tensor kept = commuted("arith.mulf", scores, expandMask(keep));
    return binary("arith.subf", kept, expandMask(mask));
  }
  default: { // a selection that is added
    Tensor keep = keepMask(window);
    Tensor mask = select(keep, splat(keep.shape, "0.0"), splat(keep.shape, bigNumber()));
    return commuted("arith.addf", scores, expandMask(mask));
  }
  }
}

GeneratedAttention Writer::write() {
  dynamic = chance(50);
  int64_t least = broken == Broken::Nothing ? 1 : 2; // A single key hides what is broken.
  queries = least + pick(6);
  keys = broken != Broken::Nothing || chance(60) ? queries : least + pick(6);
  keyHeads = 1 + pick(3);
  heads = keyHeads * (chance(50) ? 1 : 2 + pick(2));
  headSize = 1 + pick(8);
  valueSize = chance(70) ? headSize : 1 + pick(8);
  if (broken == Broken::OtherAxis || broken == Broken::TransposedAfter)
    dynamic = false; // Only a square matrix hides these.
  // [H, S, D], [S, H, D] or [B, H, S, D].
  int64_t layout = pick(3);
  batch = layout == 2 ? 1 + pick(3) : 0;
  bool merged = layout == 2 && chance(40);

  if (dynamic) {
    Tensor sizes = argument({kQueries, kKeys});
    const char *names[] = {"%queries", "%keys"};
    for (int k : {0, 1}) {
      std::string index = "%i" + std::to_string(k);
      body += "  " + index + " = arith.constant " + std::to_string(k) + " : index\n  " + names[k] +
              " = tensor.dim " + sizes.name + ", " + index + " : " + typeOf(sizes) + "\n";
    }
  }
  auto input = [&](int64_t rows, int64_t count, int64_t size) {
    if (layout == 0)
      return argument({count, rows, size});
    if (layout == 2)
      return argument({batch, count, rows, size});
    if (chance(50))
      return transpose(argument({rows, count, size}), {1, 0, 2});
    return transpose(split(argument({rows, count * size}), 1, count, size), {1, 0, 2});
  };
  auto repeated = [&](Tensor x) {
    if (keyHeads == heads)
      return x;
    size_t dim = layout == 2 ? 1 : 0;
    Shape shape = x.shape;
    shape.insert(shape.begin() + dim + 1, heads / keyHeads);
    return merge(broadcast(x, shape, {int64_t(dim) + 1}), dim, heads);
  };
  Tensor q = input(kQueries, heads, headSize);
  Tensor k = input(kKeys, keyHeads, headSize);
  Tensor v = input(kKeys, keyHeads, valueSize);
  double factor = 0.1 + 0.1 * pick(10);
  if (chance(30))
    q = scaled(q, factor);
  q = identity(q);
  if (chance(30))
    k = scaled(k, factor);
  k = repeated(identity(k));
  v = repeated(v);
  if (chance(30))
    k = scaled(k, 2);
  if (merged) {
    q = merge(q, 0, batch * heads);
    k = merge(k, 0, batch * heads);
    v = merge(v, 0, batch * heads);
  }
  scoreShape = Shape(q.shape.begin(), q.shape.end() - 1);
  scoreShape.push_back(kKeys);

  Tensor scores;
  if (broken == Broken::NoProduct)
    scores = argument(scoreShape);
  else
    scores = matmul(q, identity(k), /*transposeB=*/true, scoreShape);
  scores = identity(scores);
  if (merged && chance(50)) {
    scores = split(scores, 0, batch, heads);
    scoreShape = scores.shape;
  }
  if (chance(60))
    scores = scaled(scores, factor);
  if (chance(20)) { // Soft-cap.
    Tensor cap = splat(scoreShape, "3.0");
    scores = commuted("arith.mulf", unary("math.tanh", binary("arith.divf", scores, cap)), cap);
  }
  if (chance(25)) { // A bias per head, or per element.
    if (chance(50)) {
      scores = commuted("arith.addf", scores, argument(scoreShape));
    } else {
      Tensor table = argument({kQueries, kKeys});
      scores = commuted("arith.addf", scores, expandMask(table));
    }
  }
  if (chance(85))
    scores = masked(scores);
  scores = identity(scores);
  if (chance(20))
    scores = masked(scores);

  size_t rank = scoreShape.size();
  size_t axis = broken == Broken::OtherAxis ? rank - 2 : rank - 1;
  Tensor p;
  bool wide = chance(15); // A softmax in f64.
  if (wide && broken != Broken::NoSoftmax)
    scores = cast("arith.extf", scores, "f64");
  if (broken == Broken::NoSoftmax) {
    Tensor one = splat(scoreShape, "1.0");
    p = binary("arith.divf", one,
               binary("arith.addf", unary("math.exp", unary("arith.negf", scores)), one));
  } else {
    p = emit(scoreShape, scores.element,
             "tfm.softmax " + scores.name + " dim(" + std::to_string(axis) +
                 ") : " + typeOf(scores));
  }
  if (p.element != "f32")
    p = cast("arith.truncf", p, "f32");
  switch (broken) {
  case Broken::NonLinear:
    p = chance(50) ? binary("arith.mulf", p, p) : unary("math.tanh", p);
    break;
  case Broken::Selection: {
    Tensor threshold = splat(scoreShape, "0.25");
    Tensor large = emit(scoreShape, "i1",
                        "arith.cmpf ogt, " + p.name + ", " + threshold.name + " : " + typeOf(p));
    p = select(large, p, splat(scoreShape, "0.0"));
    break;
  }
  case Broken::MaskAfter:
    p = commuted("arith.mulf", p, expandMask(cast("arith.uitofp", keepMask(0), "f32")));
    break;
  case Broken::ScaleAfter:
    p = commuted("arith.mulf", p, splat(scoreShape, "0.5"));
    break;
  case Broken::BiasAfter:
    p = commuted("arith.addf", p, splat(scoreShape, "0.125"));
    break;
  case Broken::TransposedAfter: {
    std::vector<int64_t> permutation(rank);
    std::iota(permutation.begin(), permutation.end(), 0);
    std::swap(permutation[rank - 1], permutation[rank - 2]);
    p = transpose(p, permutation);
    // The sizes are equal; only the roles are wrong.
    std::swap(p.shape[rank - 1], p.shape[rank - 2]);
    break;
  }
  default:
    break;
  }
  p = identity(p);
  if (chance(10)) // Factors that cancel.
    p = binary("arith.mulf", commuted("arith.mulf", p, splat(p.shape, "4.0")),
               splat(p.shape, "0.25"));
  if (merged && rank == 4)
    p = merge(p, 0, batch * heads);
  Shape resultShape(p.shape.begin(), p.shape.end() - 1);
  resultShape.push_back(valueSize);
  Tensor result = matmul(p, identity(v), /*transposeB=*/false, resultShape);
  result = identity(result);
  std::string text = "func.func @f(" + arguments + ") -> " + typeOf(result) + " {\n" + body +
                     "  return " + result.name + " : " + typeOf(result) + "\n}\n";
  return {text, dims};
}

} // namespace

GeneratedAttention ingot::test::generateAttention(uint64_t seed, Broken broken) {
  return Writer(seed, broken).write();
}
