# The whole server on the demo model: golden rows and 200 mixed requests, in float16 and bfloat16.
if needs_gpu "demo model" && needs_server "demo model"; then run_node "demo model" 200 demo; fi
