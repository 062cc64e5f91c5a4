"""Python clients as their makers publish them, against a running server: `python clients.py URL KEY`. Each says ok, FAIL with its error, or skip with what is missing. Exit code 1 when one fails."""

import json
import sys
import traceback

url, key = sys.argv[1:3]
MODEL = "pirate"
USER = {"role": "user", "content": "Tell me of the sea."}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
# The stream helpers of `openai` take no answer that was cut: theirs are as long as the model likes.
CHECKS = []


def check(package):
    def add(function):
        CHECKS.append((package, function))
        return function

    return add


def openai_client():
    from openai import OpenAI

    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def anthropic_client():
    from anthropic import Anthropic

    return Anthropic(base_url=url, api_key=key, max_retries=0)


@check("openai")
def chat():
    answer = openai_client().chat.completions.create(model=MODEL, messages=[USER], max_tokens=12)
    assert answer.choices[0].message.content


@check("openai")
def chat_stream_helper():
    with openai_client().chat.completions.stream(model=MODEL, messages=[USER]) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content


@check("openai")
def responses():
    client = openai_client()
    first = client.responses.create(model=MODEL, input="Hello", max_output_tokens=12)
    assert first.output_text
    second = client.responses.create(model=MODEL, input="More", previous_response_id=first.id, max_output_tokens=6)
    assert client.responses.retrieve(second.id).output_text == second.output_text
    client.responses.delete(second.id)


@check("openai")
def responses_stream_helper():
    with openai_client().responses.stream(model=MODEL, input="Hello") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert final.output[0].content[0].text == text


@check("openai")
def responses_with_a_tool():
    client = openai_client()
    tool = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}
    asked = dict(model=MODEL, input="The weather in Oslo?", tools=[tool], tool_choice="required", parallel_tool_calls=False, max_output_tokens=400)
    first = client.responses.create(**asked)
    call = next(item for item in first.output if item.type == "function_call")
    assert json.loads(call.arguments)["city"] in ("Oslo", "Rome")
    answer = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    assert client.responses.create(model=MODEL, previous_response_id=first.id, input=[answer], max_output_tokens=6).output


@check("openai")
def responses_parse():
    from pydantic import BaseModel

    class Pet(BaseModel):
        old: bool

    parsed = openai_client().responses.parse(model=MODEL, input="A pet.", text_format=Pet)
    assert isinstance(parsed.output_parsed, Pet)


@check("openai")
def responses_over_websocket():
    client = openai_client()
    with client.responses.connect() as connection:
        connection.response.create(model=MODEL, input="Hello", max_output_tokens=6, store=False)
        for event in connection:
            if event.type in ("response.completed", "response.incomplete"):
                assert event.response.output[0].content[0].text
                break
            assert event.type != "error", event


@check("anthropic")
def messages():
    message = anthropic_client().messages.create(model=MODEL, max_tokens=12, messages=[USER])
    assert message.content[0].text


@check("anthropic")
def messages_stream_helper():
    with anthropic_client().messages.stream(model=MODEL, max_tokens=12, messages=[USER]) as stream:
        text = "".join(stream.text_stream)
        assert stream.get_final_message().content[0].text == text


@check("anthropic")
def messages_with_a_tool():
    tool = {"name": "weather", "input_schema": PARAMETERS}
    message = anthropic_client().messages.create(
        model=MODEL, max_tokens=400, messages=[USER], tools=[tool], tool_choice={"type": "any", "disable_parallel_tool_use": True}
    )
    call = next(block for block in message.content if block.type == "tool_use")
    assert call.input["city"] in ("Oslo", "Rome")


@check("langchain_openai")
def langchain():
    from langchain_openai import ChatOpenAI

    for use_responses_api in (False, True):
        chain = ChatOpenAI(model=MODEL, base_url=f"{url}/v1", api_key=key, max_tokens=12, use_responses_api=use_responses_api)
        assert chain.invoke("Hello").content
        assert [chunk for chunk in chain.stream("Hello")]


@check("agents")
def agents():
    from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    model = OpenAIResponsesModel(model=MODEL, openai_client=AsyncOpenAI(base_url=f"{url}/v1", api_key=key))
    assert Runner.run_sync(Agent(name="a", instructions="Be brief.", model=model), "Hello").final_output


failed = 0
for package, function in CHECKS:
    name = f"{package}: {function.__name__}"
    try:
        __import__(package)
    except ImportError as error:
        print(f"skip  {name}: {error}")
        continue
    try:
        function()
        print(f"ok    {name}")
    except Exception as error:
        if getattr(error, "code", None) == "unsupported_parameter" or "not supported" in str(error):
            print(f"skip  {name}: {str(error)[:200]}")
            continue
        failed += 1
        print(f"FAIL  {name}: {type(error).__name__}: {str(error)[:300]}")
        traceback.print_exc(limit=-2, file=sys.stdout)
sys.exit(1 if failed else 0)
