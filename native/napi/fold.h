// The bindings of native/fold: native/types.ts's FoldAddon.
#pragma once
#include <napi.h>

namespace lorikeet {

Napi::Object fold_functions(Napi::Env env);

}  // namespace lorikeet
