"""`langchain-openai`: chat by both APIs, tools, structured output by each method, embeddings."""

from setting import CITIES, MODEL, PARAMETERS, base, check, key

langchain = check("langchain-openai", "langchain_openai")
PET = {
    "title": "Pet",
    "description": "A pet.",
    "type": "object",
    "properties": {"kind": {"type": "string", "enum": ["cat", "dog"]}},
    "required": ["kind"],
    "additionalProperties": False,
}


def chain(**more):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(**{"model": MODEL, "base_url": base, "api_key": key, "max_retries": 0, **more})


@langchain
def invoke_and_stream():
    for use_responses_api in (False, True):
        model = chain(max_tokens=12, use_responses_api=use_responses_api)
        assert model.invoke("Hello").text and model.invoke("Hello").usage_metadata["output_tokens"]
        assert "".join(chunk.text for chunk in model.stream("Hello"))


@langchain
def bind_tools():
    tool = {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}
    for use_responses_api in (False, True):
        model = chain(max_tokens=300, use_responses_api=use_responses_api)
        bound = model.bind_tools([tool], tool_choice="weather", parallel_tool_calls=False)
        assert bound.invoke("Oslo?").tool_calls[0]["args"]["city"] in CITIES
        whole = None
        for chunk in bound.stream("Oslo?"):
            whole = chunk if whole is None else whole + chunk
        assert whole.tool_calls[0]["args"]["city"] in CITIES


@langchain
def structured_output():
    for method in ("json_schema", "function_calling"):
        for use_responses_api in (False, True):
            model = chain(max_tokens=300, use_responses_api=use_responses_api)
            assert model.with_structured_output(PET, method=method).invoke("A pet.")["kind"] in ("cat", "dog"), method


@langchain
def structured_output_by_json_mode():
    # JSON, whatever its keys: the adapter that was tuned to write some comes to an end.
    model = chain(max_tokens=400, temperature=0, model="json").with_structured_output(PET, method="json_mode", include_raw=True)
    answer = model.invoke("Say where the owl is, in JSON.")
    assert isinstance(answer["parsed"], dict) and answer["parsing_error"] is None, answer


@langchain
def embeddings():
    from langchain_openai import OpenAIEmbeddings

    # It tokenizes by itself with OpenAI's vocabularies, unless it is told not to.
    vectors = OpenAIEmbeddings(model="demo", base_url=base, api_key=key, check_embedding_ctx_length=False).embed_documents(["a", "b"])
    assert len(vectors) == 2 and len(vectors[0]) > 8
