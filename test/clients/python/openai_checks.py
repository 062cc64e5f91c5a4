"""`openai`: chat, its helpers, Responses by HTTP, in the background and over WebSocket, embeddings, models."""

import json
import time

from setting import CHAT_TOOL, CITIES, FUNCTION, MODEL, USER, base, check, key

openai = check("openai", "openai")
RESPONSE_TOOL = {"type": "function", **FUNCTION}


def client():
    from openai import OpenAI

    return OpenAI(base_url=base, api_key=key, max_retries=0)


def pet():
    from typing import Literal

    from pydantic import BaseModel

    class Pet(BaseModel):
        kind: Literal["cat", "dog"]
        old: bool

    return Pet


@openai
def models():
    ids = [model.id for model in client().models.list()]
    assert MODEL in ids and client().models.retrieve(MODEL).id == MODEL


@openai
def chat():
    answer = client().chat.completions.create(model=MODEL, messages=[USER], max_tokens=12, logprobs=True, top_logprobs=2)
    assert answer.choices[0].message.content and answer.usage.completion_tokens
    assert len(answer.choices[0].logprobs.content) == answer.usage.completion_tokens


@openai
def chat_stream():
    asked = dict(model=MODEL, messages=[USER], max_tokens=12, temperature=0)
    chunks = list(client().chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == client().chat.completions.create(**asked).choices[0].message.content
    assert chunks[-1].usage.completion_tokens


@openai
def chat_stream_helper():
    with client().chat.completions.stream(model=MODEL, messages=[USER], stream_options={"include_usage": True}) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()
    assert final.choices[0].message.content == text and final.usage.completion_tokens


@openai
def chat_stream_helper_with_a_tool():
    asked = dict(model=MODEL, messages=[USER], tools=[CHAT_TOOL], tool_choice="required", parallel_tool_calls=False)
    with client().chat.completions.stream(**asked) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert done[0].parsed_arguments["city"] in CITIES and json.loads(call.function.arguments)["city"] in CITIES


@openai
def chat_with_a_tool():
    asked = dict(model=MODEL, tools=[CHAT_TOOL], max_tokens=300)
    named = {"type": "function", "function": {"name": "weather"}}
    message = client().chat.completions.create(messages=[USER], tool_choice=named, **asked).choices[0].message
    call = message.tool_calls[0]
    assert json.loads(call.function.arguments)["city"] in CITIES
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    then = client().chat.completions.create(messages=[USER, message, result], tool_choice="none", **asked)
    assert then.choices[0].message.content


@openai
def chat_parse():
    Pet = pet()
    parsed = client().chat.completions.parse(model=MODEL, messages=[USER], response_format=Pet)
    assert isinstance(parsed.choices[0].message.parsed, Pet)


@openai
def chat_parse_with_a_tool():
    import openai as package

    tool = package.pydantic_function_tool(pet(), name="pet")
    asked = dict(model=MODEL, messages=[USER], tools=[tool], tool_choice="required", parallel_tool_calls=False)
    call = client().chat.completions.parse(**asked).choices[0].message.tool_calls[0]
    assert call.function.parsed_arguments.kind in ("cat", "dog")


@openai
def chat_stream_parse():
    Pet = pet()
    with client().chat.completions.stream(model=MODEL, messages=[USER], response_format=Pet) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Pet)


@openai
def completions():
    answer = client().completions.create(model=MODEL, prompt=["Once", "The sea"], max_tokens=4, logprobs=1, echo=True, seed=3)
    assert len(answer.choices) == 2 and answer.choices[1].text.startswith("The sea")


@openai
def errors():
    import openai as package

    for expected, fields in (
        (package.NotFoundError, {"model": "none"}),
        (package.BadRequestError, {"temperature": -1}),
        (package.BadRequestError, {"extra_body": {"no_such_field": 1}}),
    ):
        try:
            client().chat.completions.create(**{"model": MODEL, "messages": [USER], "max_tokens": 2, **fields})
        except expected as error:
            assert error.body["message"] and error.body["type"]
        else:
            raise AssertionError(f"{fields} is no error")
    try:
        package.OpenAI(base_url=base, api_key="none", max_retries=0).models.list()
    except package.AuthenticationError:
        return
    raise AssertionError("a wrong key is no error")


@openai
def asynchronous():
    import asyncio

    from openai import AsyncOpenAI

    async def run():
        async with AsyncOpenAI(base_url=base, api_key=key, max_retries=0) as asynchronous:
            asked = [asynchronous.chat.completions.create(model=MODEL, messages=[USER], max_tokens=6, seed=i) for i in range(8)]
            return await asyncio.gather(*asked)

    assert all(answer.choices[0].message.content for answer in asyncio.run(run()))


@openai
def responses():
    first = client().responses.create(model=MODEL, input="Hello", instructions="Be brief.", max_output_tokens=12)
    assert first.output_text
    second = client().responses.create(model=MODEL, input="More", previous_response_id=first.id, max_output_tokens=6)
    assert client().responses.retrieve(second.id).output_text == second.output_text
    assert client().responses.input_items.list(second.id).data
    client().responses.delete(second.id)


@openai
def responses_stream():
    asked = dict(model=MODEL, input="Hello", max_output_tokens=12, temperature=0)
    events = list(client().responses.create(**asked, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == client().responses.create(**asked).output_text


@openai
def responses_stream_helper():
    with client().responses.stream(model=MODEL, input="Hello") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert final.output_text == text


@openai
def responses_with_a_tool():
    asked = dict(model=MODEL, input="The weather in Oslo?", tools=[RESPONSE_TOOL], tool_choice="required", parallel_tool_calls=False)
    first = client().responses.create(**asked, max_output_tokens=400)
    call = next(item for item in first.output if item.type == "function_call")
    assert json.loads(call.arguments)["city"] in CITIES
    answer = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    assert client().responses.create(model=MODEL, previous_response_id=first.id, input=[answer], max_output_tokens=6).output
    with client().responses.stream(**asked) as stream:
        stream.until_done()
        call = next(item for item in stream.get_final_response().output if item.type == "function_call")
    assert call.parsed_arguments["city"] in CITIES


@openai
def responses_parse():
    Pet = pet()
    assert isinstance(client().responses.parse(model=MODEL, input="A pet.", text_format=Pet).output_parsed, Pet)
    with client().responses.stream(model=MODEL, input="A pet.", text_format=Pet) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_response().output_parsed, Pet)


@openai
def responses_in_the_background():
    response = client().responses.create(model=MODEL, input="Hello", background=True, max_output_tokens=6)
    while response.status in ("queued", "in_progress"):
        time.sleep(0.05)
        response = client().responses.retrieve(response.id)
    assert response.output_text
    long = client().responses.create(model=MODEL, input="Hello", background=True, extra_body={"ignore_eos": True})
    assert client().responses.cancel(long.id).status == "cancelled"


@openai
def responses_in_the_background_streamed_and_taken_up():
    events = []
    with client().responses.create(model=MODEL, input="Hello", background=True, stream=True) as stream:
        for event in stream:
            events.append(event)
            if len(events) == 4:
                break
    last = events[-1].sequence_number
    with client().responses.retrieve(events[0].response.id, stream=True, starting_after=last) as stream:
        rest = list(stream)
    assert [event.sequence_number for event in rest] == list(range(last + 1, last + 1 + len(rest)))
    assert rest[-1].type in ("response.completed", "response.incomplete")
    # The helper begins at the beginning.
    with client().responses.stream(response_id=events[0].response.id) as stream:
        assert stream.get_final_response().output_text == rest[-1].response.output[0].content[0].text


@openai
def responses_over_websocket():
    with client().responses.connect() as connection:
        first = None
        for _ in range(2):
            connection.response.create(model=MODEL, input="Hello", max_output_tokens=6, **({"previous_response_id": first} if first else {}))
            for event in connection:
                assert event.type != "error", event
                if event.type in ("response.completed", "response.incomplete"):
                    assert event.response.output[0].content[0].text
                    first = event.response.id
                    break


@openai
def embeddings():
    for encoding in ("float", "base64"):
        answer = client().embeddings.create(model="demo", input=["a", "b"], encoding_format=encoding)
        assert len(answer.data) == 2 and len(answer.data[0].embedding) > 8
    assert len(client().embeddings.create(model="demo", input="a").data[0].embedding) > 8
