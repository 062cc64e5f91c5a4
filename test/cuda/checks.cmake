# The CUDA kernels' checks and the addon that runs without CUDA. Included by native/cuda.cmake, whose lists of sources it uses. Without nvcc the kernels' own
# sources still run here, compiled as C++ on the emulator beside this file.
set(CUDA_CHECKS ${CMAKE_CURRENT_LIST_DIR})
if(TARGET cuda_kernels)
  add_executable(cuda-check EXCLUDE_FROM_ALL ${CUDA_CHECKS}/check.cu ${CUDA_HERE}/step/bad_words.cc)
  set_target_properties(cuda-check PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
                        COMPILE_OPTIONS $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall>)
  target_include_directories(cuda-check PRIVATE ${CUDA_HERE})
  target_link_libraries(cuda-check PRIVATE cuda_kernels)
endif()

enable_testing()
file(GLOB EMULATED CONFIGURE_DEPENDS ${CUDA_CHECKS}/*.cc ${CUDA_CHECKS}/emulated/*.cc)
list(FILTER EMULATED EXCLUDE REGEX "(ort_ops|/session)\\.cc$")  # of the addon alone: they need ONNX Runtime
add_executable(cuda-emulated EXCLUDE_FROM_ALL ${EMULATED} ${CUDA_HERE}/engine/cuda/graph_table.cc ${CUDA_HERE}/step/bad_words.cc ${CUDA_HERE}/step/masks.cc ${CUDA_HERE}/step/ngram_index.cc ${CUDA_HERE}/step/slots.cc ${CUDA_HERE}/step/token_counts.cc)
add_library(cuda_emulated_kernels STATIC EXCLUDE_FROM_ALL)
foreach(source ${CUDA_KERNELS})
  # The same source under another name and language, so that the CUDA library above keeps its own.
  get_filename_component(stem ${source} NAME_WE)
  file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/emulated/${stem}.cc CONTENT "#include \"${source}\"\n")
  target_sources(cuda_emulated_kernels PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/emulated/${stem}.cc)
endforeach()
target_sources(cuda_emulated_kernels PRIVATE ${CUDA_HOST})
foreach(target cuda-emulated cuda_emulated_kernels)
  target_include_directories(${target} PRIVATE ${CUDA_HERE} ${CUDA_HERE}/kernels/cuda ${CUDA_CHECKS})
  target_compile_options(${target} PRIVATE -Wno-unknown-pragmas -Wno-clobbered)
endforeach()
target_link_libraries(cuda-emulated PRIVATE cuda_emulated_kernels Threads::Threads)
add_test(NAME cuda-emulated COMMAND cuda-emulated)

# The addon with its CUDA engine on the emulator (emulated/): `node native/build.mjs --target lorikeet-emulated` makes build/emulated/lorikeet.node.
if(NODE_API_INCLUDE)
  set(EMULATED_ROOMS napi engine engine/cuda ops ops/cuda fold pool pool/cuda ort step numeric)
  list(TRANSFORM EMULATED_ROOMS REPLACE "(.+)" "${CUDA_HERE}/\\1/*.cc")
  file(GLOB EMULATED_ADDON CONFIGURE_DEPENDS ${EMULATED_ROOMS} ${CUDA_CHECKS}/emulated/*.cc)
  list(REMOVE_ITEM EMULATED_ADDON ${CUDA_HERE}/engine/cuda/cuda_session.cc)  # emulated/session.cc makes another
  add_library(lorikeet-emulated MODULE EXCLUDE_FROM_ALL ${EMULATED_ADDON} ${CUDA_CHECKS}/emulator.cc ${CUDA_CHECKS}/fiber.cc)
  set_target_properties(lorikeet-emulated PROPERTIES PREFIX "" OUTPUT_NAME lorikeet SUFFIX ".node"
                        LIBRARY_OUTPUT_DIRECTORY ${CUDA_HERE}/../build/emulated)
  target_include_directories(lorikeet-emulated SYSTEM PRIVATE ${CUDA_HERE}/third_party/onnxruntime ${NODE_API_INCLUDE})
  target_include_directories(lorikeet-emulated PRIVATE ${CUDA_HERE})
  target_compile_definitions(lorikeet-emulated PRIVATE LORIKEET_WITH_CUDA NAPI_VERSION=8 NODE_ADDON_API_CPP_EXCEPTIONS NODE_ADDON_API_CPP_EXCEPTIONS_ALL
                             NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS)
  target_link_libraries(lorikeet-emulated PRIVATE cuda_emulated_kernels kernels Threads::Threads ${CMAKE_DL_LIBS})
endif()
