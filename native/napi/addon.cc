// The bindings: native/types.ts's NativeAddon and NativeEngine. They convert and call, nothing more.
#include <napi.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>
#include "../engine/stepper.h"
#include "../pool/huge_pages.h"
#include "convert.h"
#include "fold.h"

namespace lorikeet {
namespace {

Napi::Error device_lost(Napi::Env env, const std::string& message) {
  auto error = Napi::Error::New(env, message);
  error.Value().Set("code", "DEVICE_LOST");
  return error;
}

// What C++ throws, as JavaScript may catch it: misuse as a RangeError. An exception that left a binding would end the process.
template <typename Work>
auto caught(Napi::Env env, Work work) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::invalid_argument& e) {
    throw Napi::RangeError::New(env, e.what());
  } catch (const DeviceLost& e) {
    throw device_lost(env, e.what());
  } catch (const std::exception& e) {
    throw Napi::Error::New(env, e.what());
  }
}

// Calls from another thread into the JavaScript one. Once that is being stopped (process.exit) nobody is called: its end of the line is freed without asking.
class Mailbox {
 public:
  explicit Mailbox(Napi::Env env) : line_(std::make_shared<Line>()) {
    const auto nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
    // It may be freed after this.
    line_->calls = Napi::ThreadSafeFunction::New(env, nothing, "lorikeet step", 0, 1, [line = line_](Napi::Env) { line->hang_up(); });
    unref(env);  // only a step in flight keeps the thread alive
  }
  ~Mailbox() {
    if (line_->hang_up()) line_->calls.Release();
  }
  void ref(Napi::Env env) { line_->calls.Ref(env); }
  void unref(Napi::Env env) { line_->calls.Unref(env); }
  template <typename Call>
  void post(Call call) {
    std::lock_guard lock(line_->mutex);
    if (line_->open) line_->calls.NonBlockingCall(std::move(call));
  }

 private:
  struct Line {
    Napi::ThreadSafeFunction calls;
    std::mutex mutex;
    bool open = true;
    // Whether it was open.
    bool hang_up() {
      std::lock_guard lock(mutex);
      return std::exchange(open, false);
    }
  };
  std::shared_ptr<Line> line_;
};

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeEngine",
                       {InstanceAccessor<&EngineObject::block_bytes>("blockBytes"), InstanceAccessor<&EngineObject::block_count>("blockCount"),
                        InstanceMethod<&EngineObject::pin_image>("pinImage"), InstanceMethod<&EngineObject::unpin_image>("unpinImage"),
                        InstanceMethod<&EngineObject::put_adapter>("putAdapter"), InstanceMethod<&EngineObject::drop_adapter>("dropAdapter"),
                        InstanceMethod<&EngineObject::adapter_ready>("adapterReady"), InstanceMethod<&EngineObject::admit>("admit"),
                        InstanceMethod<&EngineObject::add_masks>("addMasks"),
                        InstanceMethod<&EngineObject::release>("release"), InstanceMethod<&EngineObject::step>("step"),
                        InstanceMethod<&EngineObject::close>("close")});
  }
  explicit EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "use createEngine");
    stepper_ = std::move(*info[0].As<Napi::External<std::unique_ptr<Stepper>>>().Data());
    mailbox_ = std::make_unique<Mailbox>(info.Env());
  }
  ~EngineObject() override {
    stepper_.reset();  // waits for the steps in flight, which use the mailbox
  }

 private:
  // One that computes, and the next one behind it.
  static constexpr int kStepsInFlight = 2;

  Engine& engine(Napi::Env env) const {
    if (!stepper_) throw Napi::Error::New(env, "the engine is closed");
    return stepper_->engine();
  }
  Napi::Value block_bytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(engine(info.Env()).block_bytes()));
  }
  Napi::Value block_count(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(engine(info.Env()).block_count()));
  }
  void pin_image(const Napi::CallbackInfo& info) {
    auto image = info[0].As<Napi::Uint8Array>();
    caught(info.Env(), [&] { engine(info.Env()).pin_image(image.Data(), image.ElementLength()); });
  }
  void unpin_image(const Napi::CallbackInfo& info) {
    caught(info.Env(), [&] { engine(info.Env()).unpin_image(info[0].As<Napi::Uint8Array>().Data()); });
  }
  Napi::Value adapter_ready(const Napi::CallbackInfo& info) {
    const bool ready = caught(info.Env(), [&] { return engine(info.Env()).adapter_ready(info[0].ToNumber().Int32Value()); });
    return Napi::Boolean::New(info.Env(), ready);
  }
  void put_adapter(const Napi::CallbackInfo& info) {
    auto from = info[0].As<Napi::Object>();
    const AdapterIdentity id{integer(from, "index"), integer(from, "generation"), bigint(from, "digest")};
    auto image = array_of<uint8_t>(from, "image");
    auto blocks = array_of<int32_t>(from, "blocks");
    auto frames = array_of<int32_t>(from, "frames");
    auto rows = array_of<int32_t>(from, "rows");
    auto entries = array_of<int32_t>(from, "entries");
    auto reader = caught(info.Env(), [&] {
      return engine(info.Env()).put_adapter(id, {image.Data(), image.ElementLength(), blocks.Data(), blocks.ElementLength(), frames.Data(), frames.ElementLength(),
                                                 rows.Data(), rows.ElementLength() / 2, reinterpret_cast<const AdapterEntry*>(entries.Data()),
                                                 entries.ElementLength() * sizeof(int32_t) / sizeof(AdapterEntry)});
    });
    if (!reader.expired()) images_[id.index] = {Napi::Persistent(image), std::move(reader)};
  }
  void drop_adapter(const Napi::CallbackInfo& info) {
    const int32_t index = info[0].ToNumber().Int32Value();
    caught(info.Env(), [&] { engine(info.Env()).drop_adapter(index); });
    if (auto held = images_.extract(index)) dropped_images_.push_back(std::move(held.mapped()));
    let_images_go();
  }
  // Of dropped adapters: a step in flight may still read them.
  void let_images_go() {
    std::erase_if(dropped_images_, [](const HeldImage& held) { return held.reader.expired(); });
  }
  void admit(const Napi::CallbackInfo& info) {
    caught(info.Env(), [&] { engine(info.Env()).admit(slot_input(info[0].As<Napi::Object>())); });
  }
  void add_masks(const Napi::CallbackInfo& info) {
    auto masks = info[0].As<Napi::Uint32Array>();
    caught(info.Env(), [&] { engine(info.Env()).slots().add_masks(masks.Data(), masks.ElementLength()); });
    masks_.push_back(Napi::Persistent(masks));
  }
  void release(const Napi::CallbackInfo& info) {
    if (!info[0].IsNumber()) throw Napi::TypeError::New(info.Env(), "slot must be a number");
    caught(info.Env(), [&] { engine(info.Env()).release(info[0].ToNumber().Int32Value()); });
  }
  Napi::Value step(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Engine& engine = this->engine(env);
    if (in_flight_ == kStepsInFlight) throw Napi::Error::New(env, "two steps are in flight");
    auto step = std::make_shared<Step>();
    step->input = caught(env, [&] { return engine.prepare(step_batch(info[0].As<Napi::Object>())); });
    if (in_flight_++ == 0) {
      Ref();  // the engine outlives its steps
      mailbox_->ref(env);
    }
    auto deferred = Napi::Promise::Deferred::New(env);
    stepper_->push(step, failures_, [this, step, deferred](const Outcome& outcome) {
      mailbox_->post([this, step, deferred, outcome](Napi::Env env, Napi::Function) { settle(env, *step, deferred, outcome); });
    });
    return deferred.Promise();
  }
  void settle(Napi::Env env, const Step& step, const Napi::Promise::Deferred& deferred, const Outcome& outcome) {
    let_images_go();
    engine(env).slots().settle(step.input, outcome.kind != Outcome::fine, step.result.row_status);
    failures_ += outcome.failed();
    if (--in_flight_ == 0) {
      mailbox_->unref(env);
      Unref();
    }
    if (outcome.kind == Outcome::fine) return deferred.Resolve(step_output(env, step));
    auto error = outcome.kind == Outcome::device_lost ? device_lost(env, outcome.error) : Napi::Error::New(env, outcome.error);
    if (outcome.kind == Outcome::dropped) error.Value().Set("code", "STEP_DROPPED");
    deferred.Reject(error.Value());
  }
  void close(const Napi::CallbackInfo& info) {
    if (in_flight_) throw Napi::Error::New(info.Env(), "a step is in flight");
    stepper_.reset();
    images_.clear();
    dropped_images_.clear();
  }

  // Memory that the engine reads, and by what.
  struct HeldImage {
    Napi::Reference<Napi::Uint8Array> bytes;
    std::weak_ptr<const void> reader;
  };

  std::unique_ptr<Stepper> stepper_;
  std::unique_ptr<Mailbox> mailbox_;
  std::map<int32_t, HeldImage> images_;    // by place in the adapter table
  std::vector<HeldImage> dropped_images_;  // until nothing reads them
  std::vector<Napi::Reference<Napi::Uint32Array>> masks_;  // keeps their memory
  int in_flight_ = 0;
  int64_t failures_ = 0;  // failed steps that have been settled
};

class CreateWorker : public Napi::AsyncProgressWorker<float> {
 public:
  CreateWorker(Napi::Env env, EngineOptions options, const Napi::Function& on_progress)
      : AsyncProgressWorker(env), deferred_(Napi::Promise::Deferred::New(env)), options_(std::move(options)),
        on_progress_(Napi::Persistent(on_progress)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }
  void Execute(const ExecutionProgress& progress) override {
    stepper_ = std::make_unique<Stepper>([&] { return create_engine(std::move(options_), [&](float fraction) { progress.Send(&fraction, 1); }); });
  }
  void OnProgress(const float* fraction, size_t count) override {
    if (count) on_progress_.Call({Napi::Number::New(Env(), *fraction)});
  }
  void OnOK() override {
    auto constructor = Env().GetInstanceData<Napi::FunctionReference>();
    deferred_.Resolve(constructor->New({Napi::External<std::unique_ptr<Stepper>>::New(Env(), &stepper_)}));
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  EngineOptions options_;
  Napi::FunctionReference on_progress_;
  std::unique_ptr<Stepper> stepper_;
};

Napi::Value create_engine(const Napi::CallbackInfo& info) {
  auto* worker = new CreateWorker(info.Env(), engine_options(info[0].As<Napi::Object>()), info[1].As<Napi::Function>());
  auto promise = worker->promise();
  worker->Queue();
  return promise;
}

Napi::Value addon_info(const Napi::CallbackInfo& info) {
  auto object = Napi::Object::New(info.Env());
  object.Set("simd", kernels().name);
  object.Set("cuda", has_cuda());
  object.Set("packedLayout", linear_layout());
  return object;
}

void prefer_huge_pages(const Napi::CallbackInfo& info) {
  auto memory = info[0].As<Napi::Uint8Array>();
  lorikeet::prefer_huge_pages(memory.Data(), memory.ByteLength());
}

Napi::Value cuda_device(const Napi::CallbackInfo& info) {
  auto object = Napi::Object::New(info.Env());
  std::string missing;
  if (const auto device = caught(info.Env(), [&] { return cuda_device_info(missing); })) {
    object.Set("name", device->name);
    object.Set("totalBytes", static_cast<double>(device->total));
    object.Set("freeBytes", static_cast<double>(device->free));
    auto capability = Napi::Array::New(info.Env(), 2);
    capability.Set(0u, device->major);
    capability.Set(1u, device->minor);
    object.Set("computeCapability", capability);
  } else {
    object.Set("missing", missing);
  }
  return object;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* constructor = new Napi::FunctionReference(Napi::Persistent(EngineObject::define(env)));
  env.SetInstanceData(constructor);  // freed with the environment (each worker thread has its own)
  exports.Set("createEngine", Napi::Function::New(env, create_engine, "createEngine"));
  exports.Set("info", Napi::Function::New(env, addon_info, "info"));
  exports.Set("fold", fold_functions(env));
  exports.Set("preferHugePages", Napi::Function::New(env, prefer_huge_pages, "preferHugePages"));
  exports.Set("cudaDevice", Napi::Function::New(env, cuda_device, "cudaDevice"));
  return exports;
}

NODE_API_MODULE(lorikeet, init)

}  // namespace
}  // namespace lorikeet
