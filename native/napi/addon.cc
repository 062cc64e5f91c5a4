// The bindings: native/types.ts's NativeAddon and NativeEngine. They convert and call, nothing more.
#include <napi.h>
#include <functional>
#include <memory>
#include <utility>
#include "convert.h"
#include "fold.h"

namespace lorikeet {
namespace {

// Runs `work` off the JavaScript thread and settles a promise with what `done` makes of its result.
template <typename Result>
class PromiseWorker : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result()>;
  using Done = std::function<Napi::Value(Napi::Env, Result&)>;
  using Settled = std::function<void()>;
  PromiseWorker(Napi::Env env, Work work, Done done, Settled settled)
      : AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), work_(std::move(work)), done_(std::move(done)), settled_(std::move(settled)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }
  void Execute() override {
    try {
      result_ = std::make_unique<Result>(work_());
    } catch (const DeviceLost&) {
      lost_ = true;
      throw;
    }
  }
  void OnOK() override {
    settled_();
    deferred_.Resolve(done_(Env(), *result_));
  }
  void OnError(const Napi::Error& error) override {
    settled_();
    if (lost_) error.Value().Set("code", "DEVICE_LOST");
    deferred_.Reject(error.Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  bool lost_ = false;
  Work work_;
  Done done_;
  Settled settled_;
  std::unique_ptr<Result> result_;
};

// What C++ throws, as JavaScript may catch it: misuse as a RangeError. An exception that left a binding would end the process.
template <typename Work>
auto caught(Napi::Env env, Work work) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::invalid_argument& e) {
    throw Napi::RangeError::New(env, e.what());
  } catch (const std::exception& e) {
    throw Napi::Error::New(env, e.what());
  }
}

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeEngine",
                       {InstanceAccessor<&EngineObject::block_bytes>("blockBytes"), InstanceAccessor<&EngineObject::block_count>("blockCount"),
                        InstanceMethod<&EngineObject::pin_image>("pinImage"), InstanceMethod<&EngineObject::unpin_image>("unpinImage"),
                        InstanceMethod<&EngineObject::put_adapter>("putAdapter"), InstanceMethod<&EngineObject::drop_adapter>("dropAdapter"),
                        InstanceMethod<&EngineObject::adapter_ready>("adapterReady"), InstanceMethod<&EngineObject::step>("step"),
                        InstanceMethod<&EngineObject::close>("close")});
  }
  explicit EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "use createEngine");
    engine_ = std::move(*info[0].As<Napi::External<std::shared_ptr<Engine>>>().Data());
  }

 private:
  Engine& engine(Napi::Env env) const {
    if (!engine_) throw Napi::Error::New(env, "the engine is closed");
    return *engine_;
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
    bool lossless = false;
    const AdapterIdentity id{from.Get("index").ToNumber().Int32Value(), from.Get("generation").ToNumber().Int32Value(),
                             from.Get("digest").As<Napi::BigInt>().Uint64Value(&lossless)};
    auto image = from.Get("image").As<Napi::Uint8Array>();
    auto blocks = from.Get("blocks").As<Napi::Int32Array>();
    auto rows = from.Get("rows").As<Napi::Int32Array>();
    auto entries = from.Get("entries").As<Napi::Int32Array>();
    caught(info.Env(), [&] {
      engine(info.Env()).put_adapter(id, {image.Data(), image.ElementLength(), blocks.Data(), blocks.ElementLength(), rows.Data(), rows.ElementLength() / 2,
                                          reinterpret_cast<const AdapterEntry*>(entries.Data()),
                                          entries.ElementLength() * sizeof(int32_t) / sizeof(AdapterEntry)});
    });
  }
  void drop_adapter(const Napi::CallbackInfo& info) {
    caught(info.Env(), [&] { engine(info.Env()).drop_adapter(info[0].ToNumber().Int32Value()); });
  }
  Napi::Value step(const Napi::CallbackInfo& info) {
    Engine& ready = engine(info.Env());
    if (stepping_) throw Napi::Error::New(info.Env(), "a step is in flight");
    auto input = std::make_shared<StepInput>(step_input(info[0].As<Napi::Object>()));
    ready.resolve(*input);  // here, where the table cannot change
    stepping_ = true;
    Ref();  // the engine outlives its step
    auto* worker = new PromiseWorker<StepResult>(
        info.Env(), [engine = engine_, input] { return engine->run(*input); },
        [input](Napi::Env env, StepResult& result) -> Napi::Value { return step_output(env, result, input->return_logits); },
        [this] {
          stepping_ = false;
          Unref();
        });
    auto promise = worker->promise();
    worker->Queue();
    return promise;
  }
  void close(const Napi::CallbackInfo& info) {
    if (stepping_) throw Napi::Error::New(info.Env(), "a step is in flight");
    engine_.reset();
  }

  std::shared_ptr<Engine> engine_;
  bool stepping_ = false;
};

class CreateWorker : public Napi::AsyncProgressWorker<float> {
 public:
  CreateWorker(Napi::Env env, EngineOptions options, const Napi::Function& on_progress)
      : AsyncProgressWorker(env), deferred_(Napi::Promise::Deferred::New(env)), options_(std::move(options)),
        on_progress_(Napi::Persistent(on_progress)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }
  void Execute(const ExecutionProgress& progress) override {
    engine_ = create_engine(std::move(options_), [&](float fraction) { progress.Send(&fraction, 1); });
  }
  void OnProgress(const float* fraction, size_t count) override {
    if (count) on_progress_.Call({Napi::Number::New(Env(), *fraction)});
  }
  void OnOK() override {
    auto constructor = Env().GetInstanceData<Napi::FunctionReference>();
    deferred_.Resolve(constructor->New({Napi::External<std::shared_ptr<Engine>>::New(Env(), &engine_)}));
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  EngineOptions options_;
  Napi::FunctionReference on_progress_;
  std::shared_ptr<Engine> engine_;
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
  return object;
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
  exports.Set("cudaDevice", Napi::Function::New(env, cuda_device, "cudaDevice"));
  return exports;
}

NODE_API_MODULE(lorikeet, init)

}  // namespace
}  // namespace lorikeet
