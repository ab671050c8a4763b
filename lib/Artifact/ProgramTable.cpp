//===- ProgramTable.cpp - a plan.program as a table -------------------------------------------===//

#include "Tables.h"
#include "ingot/Dialect/Plan/Utils/KernelInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include <array>
#include <map>
#include <tuple>

using namespace mlir;
using namespace ingot;
using namespace ingot::artifact;
using plan::KernelInterface;

/// Most rows of an attention item that a runtime accepts.
static constexpr int64_t kMaxQueryBlock = 1 << 16;

namespace {

/// Where the pages of a cache are: in a group of the language model, or (-1) in a slot.
struct CachePlace {
  int group = -1;
  int slot = -1;
  uint64_t pageBytes = 0; ///< of a page in a slot
  int64_t offset = 0;     ///< of the layer inside a page
};

class ProgramTable {
public:
  ProgramTable(plan::ProgramOp program, SharedTables &tables)
      : program(program), tables(tables), table(std::make_unique<fb::ProgramT>()) {}

  llvm::Expected<std::unique_ptr<fb::ProgramT>> build();

private:
  /// The batch that `items` refers to in the sizes of a dispatch: the dispatch's own.
  struct ItemsOf {
    Value batch;
    int number = -1;
  };

  llvm::Error addArguments();
  llvm::Error addOperations();
  llvm::Error addCache(tfm::CacheCreateOp create);
  llvm::Error addSlot(plan::SlotOp slot, unsigned number);
  llvm::Error addCheck(cf::AssertOp check);
  llvm::Error addDispatch(plan::DispatchOp dispatch);
  llvm::Error addOutputs();
  llvm::Error checkPages();

  llvm::Expected<std::unique_ptr<fb::TensorT>> makeTensor(Type type, DictionaryAttr attributes,
                                                          StringRef kind, unsigned index);
  llvm::Expected<int> getBatch(Value batch, int64_t queryBlock, const CachePlace &place,
                               const plan::AttentionShape &shape);
  llvm::Expected<fb::Buffer> getBuffer(plan::DispatchOp dispatch, KernelInterface::Buffer buffer);
  llvm::Expected<fb::Scalar> getScalar(plan::DispatchOp dispatch, KernelInterface::Scalar scalar,
                                       const ItemsOf &items);

  unsigned addSize(fb::SizeOp op, int64_t a, int64_t b, int64_t value);
  llvm::Expected<unsigned> getSize(Value value, const ItemsOf &items);
  llvm::Expected<unsigned> getLeaf(Value value, const ItemsOf &items);
  llvm::Expected<unsigned> getDim(Value tensor, int64_t dim, const ItemsOf &items);

  plan::ProgramOp program;
  SharedTables &tables;
  std::unique_ptr<fb::ProgramT> table;
  llvm::DenseMap<Value, unsigned> inputs, outputs;
  llvm::DenseMap<Value, CachePlace> caches;
  llvm::DenseMap<Operation *, int> batchOf; ///< of dispatches
  std::map<std::tuple<int, int64_t, int64_t, int64_t>, unsigned> sizeNumbers;
  /// Sizes of values; those that depend on items, per batch.
  llvm::DenseMap<std::pair<Value, int>, unsigned> sizes;
  std::map<std::tuple<const void *, int64_t, int, int, uint64_t, std::array<int64_t, 5>>, int>
      batchNumbers;
  llvm::DenseMap<Value, int> firstBatch;
  unsigned numSlots = 0;
};

} // namespace

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

unsigned ProgramTable::addSize(fb::SizeOp op, int64_t a, int64_t b, int64_t value) {
  auto [entry, isNew] = sizeNumbers.try_emplace({int(op), a, b, value}, table->sizes.size());
  if (isNew)
    table->sizes.push_back(fb::Size(op, int32_t(a), int32_t(b), value));
  return entry->second;
}

/// The operation of a size that has two operands.
static std::optional<fb::SizeOp> getBinary(Operation *op) {
  return llvm::TypeSwitch<Operation *, std::optional<fb::SizeOp>>(op)
      .Case<arith::AddIOp>([](auto) { return fb::SizeOp::Add; })
      .Case<arith::SubIOp>([](auto) { return fb::SizeOp::Sub; })
      .Case<arith::MulIOp>([](auto) { return fb::SizeOp::Mul; })
      .Case<arith::CeilDivUIOp, arith::CeilDivSIOp>([](auto) { return fb::SizeOp::CeilDiv; })
      .Case<arith::DivUIOp, arith::DivSIOp, arith::FloorDivSIOp>(
          [](auto) { return fb::SizeOp::FloorDiv; })
      .Case<arith::RemUIOp, arith::RemSIOp>([](auto) { return fb::SizeOp::Mod; })
      .Case<arith::MaxUIOp, arith::MaxSIOp>([](auto) { return fb::SizeOp::Max; })
      .Case<arith::MinUIOp, arith::MinSIOp>([](auto) { return fb::SizeOp::Min; })
      .Default([](Operation *) { return std::nullopt; });
}

static bool isCast(Operation *op) {
  return isa_and_nonnull<arith::IndexCastOp, arith::IndexCastUIOp>(op);
}

/// The number of a size, after those of its operands. Not recursive: a program's text decides how
/// deep an expression is.
llvm::Expected<unsigned> ProgramTable::getSize(Value value, const ItemsOf &items) {
  llvm::SmallVector<Value> stack{value};
  auto known = [&](Value v) { return sizes.find({v, items.number}) != sizes.end(); };
  while (!stack.empty()) {
    Value top = stack.back();
    if (known(top)) {
      stack.pop_back();
      continue;
    }
    Operation *op = top.getDefiningOp();
    std::optional<fb::SizeOp> binary = op ? getBinary(op) : std::nullopt;
    if (!binary && !isCast(op)) {
      llvm::Expected<unsigned> leaf = getLeaf(top, items);
      if (!leaf)
        return leaf;
      sizes[{top, items.number}] = *leaf;
      continue;
    }
    bool ready = true;
    for (Value operand : op->getOperands())
      if (!known(operand)) {
        stack.push_back(operand);
        ready = false;
      }
    if (!ready)
      continue;
    unsigned a = sizes[{op->getOperand(0), items.number}];
    unsigned b = binary ? sizes[{op->getOperand(1), items.number}] : 0;
    sizes[{top, items.number}] = binary ? addSize(*binary, a, b, 0) : a;
  }
  return sizes[{value, items.number}];
}

llvm::Expected<unsigned> ProgramTable::getLeaf(Value value, const ItemsOf &items) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return makeError("argument ", cast<BlockArgument>(value).getArgNumber(), " is used as a size");
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    if (auto integer = dyn_cast<IntegerAttr>(constant.getValue()))
      if (integer.getValue().isSignedIntN(64))
        return addSize(fb::SizeOp::Constant, 0, 0, integer.getValue().getSExtValue());
  if (auto dim = dyn_cast<tensor::DimOp>(op)) {
    std::optional<int64_t> index = dim.getConstantIndex();
    auto type = dyn_cast<RankedTensorType>(dim.getSource().getType());
    if (!index || !type || *index < 0 || *index >= type.getRank())
      return makeError("expected a constant dimension of a tensor", getWhere(op));
    return getDim(dim.getSource(), *index, items);
  }
  if (auto dim = dyn_cast<tfm::BatchDimOp>(op)) {
    int number = -1;
    if (dim.getKind() == tfm::BatchDimKind::Items) {
      if (items.batch != dim.getBatch())
        return makeError("expected the items of a batch in the sizes of a dispatch on that batch",
                         getWhere(op));
      number = items.number;
    } else if (auto first = firstBatch.find(dim.getBatch()); first != firstBatch.end()) {
      number = first->second;
    } else {
      llvm::Expected<int> bare =
          getBatch(dim.getBatch(), /*queryBlock=*/1, CachePlace(), plan::AttentionShape());
      if (!bare)
        return bare.takeError();
      number = *bare;
    }
    if (dim.getWindow() < 0)
      return makeError("expected a window of at least 0, got ", dim.getWindow(), getWhere(op));
    static_assert(int(tfm::BatchDimKind::AllPairs) == int(fb::BatchDimKind::AllPairs) &&
                  int(tfm::BatchDimKind::Keys) == int(fb::BatchDimKind::Keys));
    return addSize(fb::SizeOp::BatchDim, number, int64_t(dim.getKind()), int64_t(dim.getWindow()));
  }
  return makeError("expected a size, got ", op->getName().getStringRef(), getWhere(op));
}

llvm::Expected<unsigned> ProgramTable::getDim(Value tensor, int64_t dim, const ItemsOf &items) {
  auto type = cast<RankedTensorType>(tensor.getType());
  if (!type.isDynamicDim(unsigned(dim)))
    return addSize(fb::SizeOp::Constant, 0, 0, type.getDimSize(unsigned(dim)));
  if (auto input = inputs.find(tensor); input != inputs.end())
    return addSize(fb::SizeOp::InputDim, input->second, dim, 0);
  if (auto dispatch = tensor.getDefiningOp<plan::DispatchOp>()) {
    ValueRange dims = dispatch.getSizesOf(cast<OpResult>(tensor).getResultNumber());
    return getSize(dims[type.getDynamicDimIndex(unsigned(dim))], items);
  }
  return makeError("expected a tensor whose dimensions are known, got ", type);
}

//===----------------------------------------------------------------------===//
// Batches and caches
//===----------------------------------------------------------------------===//

llvm::Expected<int> ProgramTable::getBatch(Value batch, int64_t queryBlock, const CachePlace &place,
                                           const plan::AttentionShape &shape) {
  std::array<int64_t, 5> facts{shape.heads, shape.kvHeads, shape.recordBytes, shape.causal,
                               shape.window};
  auto [entry, isNew] = batchNumbers.try_emplace(
      {batch.getAsOpaquePointer(), queryBlock, place.group, place.slot, place.pageBytes, facts},
      -1);
  if (!isNew)
    return entry->second;
  auto result = std::make_unique<fb::BatchT>();
  result->query_block = uint32_t(queryBlock);
  result->cache_group = place.group;
  result->slot = place.slot;
  result->page_bytes = place.pageBytes;
  result->heads = uint32_t(shape.heads);
  result->kv_heads = uint32_t(shape.kvHeads);
  result->record_bytes = uint32_t(shape.recordBytes);
  result->causal = shape.causal;
  result->window = uint64_t(shape.window);
  if (auto uniform = batch.getDefiningOp<tfm::UniformBatchOp>()) {
    if (place.group >= 0)
      return makeError("expected the program's batch with a cache of the language model",
                       getWhere(uniform));
    result->kind = fb::BatchKind::Uniform;
    int32_t *fields[] = {&result->sequences, &result->rows, &result->keys};
    for (auto [field, operand] : llvm::zip(fields, uniform->getOperands())) {
      llvm::Expected<unsigned> size = getSize(operand, ItemsOf());
      if (!size)
        return size.takeError();
      *field = int32_t(*size);
    }
  } else if (isa<OpResult>(batch)) {
    return makeError("expected a batch that is an argument or a tfm.uniform_batch",
                     getWhere(batch.getDefiningOp()));
  }
  int number = int(table->batches.size());
  table->batches.push_back(std::move(result));
  firstBatch.try_emplace(batch, number);
  return entry->second = number;
}

llvm::Error ProgramTable::addCache(tfm::CacheCreateOp create) {
  auto slot = create->getAttrOfType<IntegerAttr>("slot");
  if (!slot || slot.getInt() < 0 || slot.getInt() >= int64_t(numSlots))
    return makeError("expected a tfm.cache_create with the number of a slot", getWhere(create));
  llvm::Expected<int64_t> bytes = plan::getCachePageBytes(create.getType());
  if (!bytes)
    return bytes.takeError();
  CachePlace place;
  place.slot = int(slot.getInt());
  place.pageBytes = uint64_t(*bytes);
  caches[create.getResult()] = place;
  return llvm::Error::success();
}

/// Layers that share a page must not overlap in it.
llvm::Error ProgramTable::checkPages() {
  std::map<std::pair<int, int64_t>, int64_t> layers; // (group, offset) -> end
  for (BlockArgument argument : program.getBody().getArguments()) {
    auto type = dyn_cast<tfm::CacheType>(argument.getType());
    if (!type)
      continue;
    const CachePlace &place = caches.find(argument)->second;
    llvm::Expected<int64_t> bytes = plan::getCachePageBytes(type);
    if (!bytes)
      return bytes.takeError();
    int64_t page = int64_t(tables.cacheGroups[size_t(place.group)].page_bytes);
    if (place.offset % 64 || place.offset > page || *bytes > page - place.offset)
      return makeError("argument ", argument.getArgNumber(), ": expected ", *bytes,
                       " bytes at a multiple of 64 inside a page of ", page, " bytes, got offset ",
                       place.offset);
    auto [entry, isNew] = layers.try_emplace({place.group, place.offset}, place.offset + *bytes);
    if (!isNew)
      return makeError("argument ", argument.getArgNumber(),
                       " shares its place with another cache");
  }
  for (auto layer = layers.begin(); layer != layers.end(); ++layer)
    if (auto next = std::next(layer); next != layers.end() &&
                                      next->first.first == layer->first.first &&
                                      next->first.second < layer->second)
      return makeError("caches at offsets ", layer->first.second, " and ", next->first.second,
                       " of group ", layer->first.first, " overlap");
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Inputs and outputs
//===----------------------------------------------------------------------===//

llvm::Expected<std::unique_ptr<fb::TensorT>>
ProgramTable::makeTensor(Type type, DictionaryAttr attributes, StringRef kind, unsigned index) {
  auto tensorType = dyn_cast<RankedTensorType>(type);
  auto tensor = std::make_unique<fb::TensorT>();
  if (tensorType)
    tensor->type = getElementType(tensorType.getElementType());
  if (!tensorType || tensor->type == fb::ElementType::None || tensorType.getRank() > kMaxRank ||
      tensorType.getEncoding())
    return makeError(kind, " ", index, ": expected a plain tensor of at most ", kMaxRank,
                     " dimensions, got ", type);
  auto name = attributes ? attributes.getAs<StringAttr>(plan::kNameAttr) : StringAttr();
  if (!name || name.getValue() != cleanName(name.getValue(), "?"))
    return makeError(kind, " ", index, ": expected a name (", plan::kNameAttr, ")");
  tensor->name = name.str();
  for (int64_t extent : tensorType.getShape())
    tensor->shape.push_back(ShapedType::isDynamic(extent) ? -1 : extent);
  return std::move(tensor);
}

llvm::Error ProgramTable::addArguments() {
  llvm::StringSet<> names;
  Value stepBatch;
  for (BlockArgument argument : program.getBody().getArguments()) {
    unsigned index = argument.getArgNumber();
    DictionaryAttr attributes = program.getArgAttrDict(index);
    if (isa<tfm::BatchType>(argument.getType())) {
      if (stepBatch)
        return makeError("argument ", index, ": expected one batch");
      stepBatch = argument;
      continue;
    }
    if (isa<tfm::CacheType>(argument.getType())) {
      auto group = program.getArgAttrOfType<IntegerAttr>(index, plan::kGroupAttr);
      auto offset = program.getArgAttrOfType<IntegerAttr>(index, plan::kOffsetAttr);
      if (!group || !offset || group.getInt() < 0 || offset.getInt() < 0 ||
          group.getInt() >= int64_t(tables.cacheGroups.size()))
        return makeError("argument ", index, ": expected ", plan::kGroupAttr,
                         " to be one of the model's cache groups, and ", plan::kOffsetAttr);
      CachePlace place;
      place.group = int(group.getInt());
      place.offset = offset.getInt();
      caches[argument] = place;
      continue;
    }
    auto tensor = makeTensor(argument.getType(), attributes, "argument", index);
    if (!tensor)
      return tensor.takeError();
    if (!names.insert((*tensor)->name).second)
      return makeError("argument ", index, ": the name ", (*tensor)->name, " occurs twice");
    inputs[argument] = unsigned(table->inputs.size());
    table->inputs.push_back(std::move(*tensor));
  }
  return checkPages();
}

llvm::Error ProgramTable::addOutputs() {
  auto yield = dyn_cast<plan::YieldOp>(program.getBody().front().back());
  if (!yield || TypeRange(yield.getOperandTypes()) != TypeRange(program.getResultTypes()))
    return makeError("expected plan.yield of the results at the end");
  llvm::StringSet<> names;
  for (auto [index, value] : llvm::enumerate(yield.getValues())) {
    if (isa<tfm::CacheType>(value.getType()))
      continue;
    auto tensor =
        makeTensor(value.getType(), program.getResultAttrDict(unsigned(index)), "result", index);
    if (!tensor)
      return tensor.takeError();
    if (!names.insert((*tensor)->name).second)
      return makeError("result ", index, ": the name ", (*tensor)->name, " occurs twice");
    if (!value.getDefiningOp<plan::DispatchOp>() ||
        !outputs.try_emplace(value, unsigned(table->outputs.size())).second)
      return makeError("result ", index, ": expected a result of a dispatch that is yielded once");
    for (int64_t dim = 0; dim < int64_t((*tensor)->shape.size()); ++dim) {
      llvm::Expected<unsigned> size = getDim(value, dim, ItemsOf());
      if (!size)
        return size.takeError();
      (*tensor)->sizes.push_back(*size);
    }
    table->outputs.push_back(std::move(*tensor));
  }
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

llvm::Error ProgramTable::addSlot(plan::SlotOp slot, unsigned number) {
  if (slot.getIndex() != number)
    return makeError("expected slot ", number, ", got ", slot.getIndex(), getWhere(slot));
  std::optional<unsigned> largest;
  for (Value bytes : slot.getBytes()) {
    llvm::Expected<unsigned> size = getSize(bytes, ItemsOf());
    if (!size)
      return size.takeError();
    if (!largest)
      largest = *size;
    else if (*largest != *size)
      largest = addSize(fb::SizeOp::Max, *largest, *size, 0);
  }
  auto result = std::make_unique<fb::SlotT>();
  result->bytes = largest ? *largest : addSize(fb::SizeOp::Constant, 0, 0, 0);
  table->slots.push_back(std::move(result));
  return llvm::Error::success();
}

llvm::Error ProgramTable::addCheck(cf::AssertOp check) {
  auto compare = check.getArg().getDefiningOp<arith::CmpIOp>();
  if (!compare || compare.getPredicate() != arith::CmpIPredicate::eq)
    return makeError("expected an assertion that two sizes are equal", getWhere(check));
  llvm::Expected<unsigned> a = getSize(compare.getLhs(), ItemsOf());
  if (!a)
    return a.takeError();
  llvm::Expected<unsigned> b = getSize(compare.getRhs(), ItemsOf());
  if (!b)
    return b.takeError();
  bool known = llvm::any_of(table->checks, [&](const fb::SizeCheck &other) {
    return other.a() == *a && other.b() == *b;
  });
  if (*a != *b && !known)
    table->checks.push_back(fb::SizeCheck(*a, *b));
  return llvm::Error::success();
}

llvm::Expected<fb::Buffer> ProgramTable::getBuffer(plan::DispatchOp dispatch,
                                                   KernelInterface::Buffer buffer) {
  Value value =
      buffer.isResult ? dispatch->getResult(buffer.index) : dispatch.getInputs()[buffer.index];
  if (auto input = inputs.find(value); input != inputs.end())
    return fb::Buffer(fb::BufferKind::Input, input->second);
  if (WeightTable::isWeight(value)) {
    llvm::Expected<unsigned> weight = tables.weights.add(value);
    if (!weight)
      return weight.takeError();
    return fb::Buffer(fb::BufferKind::Weight, *weight);
  }
  auto producer = value.getDefiningOp<plan::DispatchOp>();
  if (!producer || !producer.getSlots())
    return makeError("expected operand ", buffer.index,
                     " to be an input, a weight or the result of a dispatch with slots");
  int64_t slot = (*producer.getSlots())[cast<OpResult>(value).getResultNumber()];
  auto output = outputs.find(value);
  if (slot == -1 && output != outputs.end())
    return fb::Buffer(fb::BufferKind::Output, output->second);
  if (slot == -1 || output != outputs.end() || slot < 0 || slot >= int64_t(numSlots))
    return makeError("expected a slot for each result that is no output, got slot ", slot, " of ",
                     numSlots, output != outputs.end() ? " for an output" : "");
  return fb::Buffer(fb::BufferKind::Slot, unsigned(slot));
}

llvm::Expected<fb::Scalar> ProgramTable::getScalar(plan::DispatchOp dispatch,
                                                   KernelInterface::Scalar scalar,
                                                   const ItemsOf &items) {
  auto constant = [](int64_t bits) { return fb::Scalar(fb::ScalarKind::Constant, bits); };
  auto size = [](llvm::Expected<unsigned> number) -> llvm::Expected<fb::Scalar> {
    if (!number)
      return number.takeError();
    return fb::Scalar(fb::ScalarKind::Size, *number);
  };
  Value value =
      scalar.isResult ? dispatch->getResult(scalar.index) : dispatch.getInputs()[scalar.index];
  switch (scalar.kind) {
  case KernelInterface::ScalarKind::CacheOffset:
    return constant(caches.find(value)->second.offset);
  case KernelInterface::ScalarKind::Dim:
    return size(getDim(value, scalar.dim, items));
  case KernelInterface::ScalarKind::Value:
    break;
  }
  if (auto op = value.getDefiningOp<arith::ConstantOp>()) {
    if (auto number = dyn_cast<FloatAttr>(op.getValue()))
      return constant(int64_t(number.getValue().bitcastToAPInt().getZExtValue()));
    if (auto number = dyn_cast<IntegerAttr>(op.getValue()))
      return constant(value.getType().isInteger(1) ? number.getValue().getZExtValue()
                                                   : number.getValue().getSExtValue());
  }
  if (isa<FloatType>(value.getType()))
    return makeError("expected scalar operand ", scalar.index, " to be a constant or a size");
  return size(getSize(value, items));
}

llvm::Error ProgramTable::addDispatch(plan::DispatchOp dispatch) {
  auto result = std::make_unique<fb::DispatchT>();
  result->kernel = tables.kernels.find(dispatch.getKernel())->second;
  result->batch = batchOf.find(dispatch)->second;
  result->location = tables.locations.add(dispatch.getLoc());

  auto interface = KernelInterface::get(FunctionType::get(
      dispatch.getContext(), dispatch.getInputs().getTypes(), dispatch->getResultTypes()));
  if (!interface)
    return interface.takeError();
  ItemsOf items;
  if (interface->batch)
    items = {dispatch.getInputs()[*interface->batch], result->batch};

  if (!dispatch.getGrid())
    return makeError("expected a grid");
  llvm::Expected<unsigned> grid = getSize(dispatch.getGrid(), items);
  if (!grid)
    return grid.takeError();
  result->grid = *grid;
  for (KernelInterface::Buffer entry : interface->buffers) {
    llvm::Expected<fb::Buffer> buffer = getBuffer(dispatch, entry);
    if (!buffer)
      return buffer.takeError();
    result->buffers.push_back(*buffer);
  }
  for (KernelInterface::Scalar entry : interface->scalars) {
    llvm::Expected<fb::Scalar> scalar = getScalar(dispatch, entry, items);
    if (!scalar)
      return scalar.takeError();
    result->scalars.push_back(*scalar);
  }
  for (auto [index, value] : llvm::enumerate(dispatch.getCostSizes())) {
    llvm::Expected<unsigned> size = getSize(value, items);
    if (!size)
      return size.takeError();
    int32_t cost = (*dispatch.getCostClasses())[index];
    if (cost < 0 || cost > int32_t(fb::CostClass::MAX))
      return makeError("expected a cost class of 0 to 3, got ", cost);
    result->cost.push_back(
        fb::CostTerm(fb::CostClass(cost), *size, (*dispatch.getCostCoefficients())[index]));
  }
  table->dispatches.push_back(std::move(result));
  return llvm::Error::success();
}

/// First what dispatches refer to, then the dispatches: the batches come first because
/// `tfm.batch_dim` takes the first entry of its batch.
llvm::Error ProgramTable::addOperations() {
  for (Operation &op : program.getBody().front())
    numSlots += isa<plan::SlotOp>(op);

  for (Operation &op : program.getBody().front()) {
    if (auto create = dyn_cast<tfm::CacheCreateOp>(op)) {
      if (llvm::Error error = addCache(create))
        return error;
      continue;
    }
    auto dispatch = dyn_cast<plan::DispatchOp>(op);
    if (!dispatch) {
      if (!getBinary(&op) && !isCast(&op) &&
          !isa<plan::SlotOp, plan::PackOp, plan::YieldOp, tfm::ParameterOp, tfm::ConvertWeightOp,
               tfm::ScaleWeightOp, tfm::BatchDimOp, tfm::UniformBatchOp, arith::ConstantOp,
               arith::CmpIOp, tensor::DimOp, cf::AssertOp>(op))
        return makeError("expected a flat program, got ", op.getName().getStringRef(),
                         getWhere(&op));
      continue;
    }
    auto kernel =
        SymbolTable::lookupNearestSymbolFrom<plan::KernelOp>(program, dispatch.getKernelAttr());
    auto interface = KernelInterface::get(
        FunctionType::get(op.getContext(), dispatch.getInputs().getTypes(), op.getResultTypes()));
    if (!interface)
      return makeError("dispatch of @", dispatch.getKernel(), ": ",
                       llvm::toString(interface.takeError()), getWhere(&op));
    int batch = -1;
    if (interface->batch) {
      CachePlace place;
      if (interface->cache) {
        auto cache = caches.find(dispatch.getInputs()[*interface->cache]);
        if (cache == caches.end())
          return makeError("dispatch of @", dispatch.getKernel(), ": expected a cache with a place",
                           getWhere(&op));
        place = cache->second;
        for (Value output : op.getResults())
          if (isa<tfm::CacheType>(output.getType()))
            caches[output] = place;
      }
      place.offset = 0;
      int64_t queryBlock = plan::getQueryBlock(kernel);
      if (queryBlock > kMaxQueryBlock)
        return makeError("dispatch of @", dispatch.getKernel(), ": expected at most ",
                         kMaxQueryBlock, " rows per item, got ", queryBlock, getWhere(&op));
      plan::AttentionShape shape = plan::getAttentionShape(kernel);
      if (std::max({shape.heads, shape.recordBytes, shape.window}) > UINT32_MAX)
        return makeError("dispatch of @", dispatch.getKernel(), ": its attention is too large",
                         getWhere(&op));
      llvm::Expected<int> number =
          getBatch(dispatch.getInputs()[*interface->batch], queryBlock, place, shape);
      if (!number)
        return number.takeError();
      batch = *number;
    }
    batchOf[dispatch] = batch;
  }

  // Outputs first: their values are what dispatches write to.
  if (llvm::Error error = addOutputs())
    return error;
  unsigned slot = 0;
  for (Operation &op : program.getBody().front()) {
    auto add = [&]() -> llvm::Error {
      if (auto slotOp = dyn_cast<plan::SlotOp>(op))
        return addSlot(slotOp, slot++);
      if (auto check = dyn_cast<cf::AssertOp>(op))
        return addCheck(check);
      auto dispatch = dyn_cast<plan::DispatchOp>(op);
      if (!dispatch)
        return llvm::Error::success();
      llvm::Error error = addDispatch(dispatch);
      if (!error)
        return error;
      return makeError("dispatch of @", dispatch.getKernel(), ": ",
                       llvm::toString(std::move(error)), getWhere(&op));
    };
    if (llvm::Error error = add())
      return error;
  }
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<fb::ProgramT>> ProgramTable::build() {
  table->name = program.getSymName().str();
  llvm::Error error = addArguments();
  if (!error)
    error = addOperations();
  if (error)
    return makeError("@", table->name, ": ", llvm::toString(std::move(error)));
  return std::move(table);
}

llvm::Expected<std::unique_ptr<fb::ProgramT>> artifact::buildProgram(plan::ProgramOp program,
                                                                     SharedTables &tables) {
  return ProgramTable(program, tables).build();
}
