"""`anthropic`: messages, its stream helper, tools, the tool runner, count_tokens, errors."""

from setting import CITIES, MODEL, PARAMETERS, USER, check, key, url

anthropic = check("anthropic", "anthropic")
TOOL = {"name": "weather", "description": "The weather of a city.", "input_schema": PARAMETERS}
FORCED = dict(tools=[TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True})


def client(api_key=key):
    from anthropic import Anthropic

    return Anthropic(base_url=url, api_key=api_key, max_retries=0)


@anthropic
def messages():
    message = client().messages.create(model=MODEL, max_tokens=12, messages=[USER], system="Be brief.")
    assert message.content[0].text and message.usage.output_tokens and message.stop_reason in ("end_turn", "max_tokens")


@anthropic
def messages_stream():
    events = list(client().messages.create(model=MODEL, max_tokens=12, messages=[USER], stream=True))
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]


@anthropic
def messages_stream_helper():
    with client().messages.stream(model=MODEL, max_tokens=12, messages=[USER]) as stream:
        text = "".join(stream.text_stream)
        assert stream.get_final_message().content[0].text == text


@anthropic
def count_tokens():
    few = client().messages.count_tokens(model=MODEL, messages=[USER]).input_tokens
    assert 0 < few < client().messages.count_tokens(model=MODEL, messages=[USER], system="Be brief.").input_tokens


@anthropic
def messages_with_a_tool():
    asked = dict(model=MODEL, max_tokens=400, messages=[USER], **FORCED)
    message = client().messages.create(**asked)
    call = next(block for block in message.content if block.type == "tool_use")
    assert call.input["city"] in CITIES and message.stop_reason == "tool_use"
    with client().messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert next(block for block in streamed.content if block.type == "tool_use").input["city"] in CITIES
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]}
    history = [USER, {"role": "assistant", "content": message.content}, result]
    assert client().messages.create(model=MODEL, max_tokens=6, messages=history, tools=[TOOL]).content


@anthropic
def tool_runner():
    from anthropic import beta_tool

    called = []

    @beta_tool
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Its name.
        """
        called.append(city)
        return "rain"

    forced = {"type": "any", "disable_parallel_tool_use": True}
    runner = client().beta.messages.tool_runner(
        model=MODEL, max_tokens=400, messages=[USER], tools=[weather], tool_choice=forced, max_iterations=2
    )
    assert [message.stop_reason for message in runner][0] in ("tool_use", "max_tokens")


@anthropic
def errors():
    import anthropic as package

    for expected, fields in ((package.NotFoundError, {"model": "none"}), (package.BadRequestError, {"max_tokens": -1})):
        try:
            client().messages.create(**{"model": MODEL, "max_tokens": 2, "messages": [USER], **fields})
        except expected as error:
            assert error.body["error"]["message"]
        else:
            raise AssertionError(f"{fields} is no error")
    try:
        client("none").messages.create(model=MODEL, max_tokens=2, messages=[USER])
    except package.AuthenticationError:
        return
    raise AssertionError("a wrong key is no error")
