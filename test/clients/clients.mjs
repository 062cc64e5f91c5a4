/**
 * JavaScript clients as their makers publish them, against a running server: `node clients.mjs URL KEY`. Each says ok, FAIL with its error, or skip with what is missing.
 * What a model says is its own business: looked at is that the client understands the answer. Exit code 1 when one fails.
 */

import assert from 'node:assert'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import Anthropic from '@anthropic-ai/sdk'
import { ChatOpenAI } from '@langchain/openai'
import { generateObject, generateText, jsonSchema, streamText, tool } from 'ai'
import OpenAI from 'openai'
import { zodTextFormat } from 'openai/helpers/zod'
import { ResponsesWS } from 'openai/resources/responses/ws'
import { z } from 'zod'

const [url, apiKey] = process.argv.slice(2)
const model = 'pirate'
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 })
const anthropic = new Anthropic({ baseURL: url, apiKey, maxRetries: 0 })
const ai = createOpenAI({ baseURL: `${url}/v1`, apiKey })
const claude = createAnthropic({ baseURL: `${url}/v1`, apiKey })
const chain = new ChatOpenAI({ model, apiKey, maxRetries: 0, maxTokens: 400, configuration: { baseURL: `${url}/v1` } })

const Pet = z.object({ name: z.string().max(12), kind: z.enum(['cat', 'dog']) })
const parameters = {
  type: 'object',
  properties: { city: { type: 'string', enum: ['Oslo', 'Rome'] } },
  required: ['city'],
  additionalProperties: false,
}
const functionTool = { type: 'function', name: 'weather', description: 'The weather of a city.', parameters, strict: true }
const user = { role: 'user', content: 'Tell me of the sea.' }

/** Why a feature cannot be looked at; undefined: it is there. */
async function missing(body) {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
    body: JSON.stringify({ messages: [user], max_tokens: 40, ...body }),
  })
  const { error } = await response.json()
  return error?.code === 'unsupported_parameter' ? error.message : undefined
}

const NEEDS = {
  tools: await missing({ tools: [{ type: 'function', function: functionTool }], tool_choice: 'required' }),
  schemas: await missing({ response_format: { type: 'json_schema', json_schema: { name: 'a', schema: parameters } } }),
}

const CHECKS = {
  'openai: chat': async () => {
    const { choices } = await openai.chat.completions.create({ model, messages: [user], max_tokens: 12 })
    assert(choices[0].message.content)
  },
  'openai: chat stream helper': async () => {
    const stream = openai.chat.completions.stream({
      model,
      messages: [user],
      max_tokens: 12,
      stream_options: { include_usage: true },
    })
    const final = await stream.finalChatCompletion()
    assert(final.choices[0].message.content && final.usage.completion_tokens > 0)
  },
  'openai: responses': async () => {
    const { output_text } = await openai.responses.create({ model, input: 'Tell me of the sea.', max_output_tokens: 12 })
    assert(output_text)
  },
  'openai: responses stream helper': async () => {
    const stream = openai.responses.stream({ model, input: 'Tell me of the sea.', max_output_tokens: 12 })
    let text = ''
    stream.on('response.output_text.delta', (event) => {
      text += event.delta
    })
    assert.equal((await stream.finalResponse()).output_text, text)
  },
  'openai: responses go on': async () => {
    const first = await openai.responses.create({ model, input: 'Hello', max_output_tokens: 6 })
    const next = await openai.responses.create({ model, input: 'More', previous_response_id: first.id, max_output_tokens: 6 })
    assert.equal((await openai.responses.retrieve(next.id)).previous_response_id, first.id)
    await openai.responses.delete(next.id)
  },
  'openai: responses in the background': async () => {
    let response = await openai.responses.create({ model, input: 'Hello', background: true, max_output_tokens: 6 })
    while (['queued', 'in_progress'].includes(response.status)) response = await openai.responses.retrieve(response.id)
    assert(response.output_text)
  },
  'openai: responses over WebSocket': async () => {
    const ws = new ResponsesWS(openai)
    const done = new Promise((resolve, reject) => {
      ws.on('error', reject)
      for (const end of ['response.completed', 'response.incomplete']) ws.on(end, resolve)
    })
    ws.send({ type: 'response.create', model, input: 'Tell me of the sea.', store: false, max_output_tokens: 12 })
    const { response } = await done
    ws.close()
    assert(response.output[0].content[0].text)
  },
  'openai: responses parse': {
    needs: 'schemas',
    check: async () => {
      const { output_parsed } = await openai.responses.parse({
        model,
        input: 'A pet.',
        text: { format: zodTextFormat(Pet, 'pet') },
      })
      assert(Pet.parse(output_parsed))
    },
  },
  'openai: responses with a tool': {
    needs: 'tools',
    check: async () => {
      const input = [{ role: 'user', content: 'The weather in Oslo?' }]
      const asked = {
        model,
        input,
        tools: [functionTool],
        tool_choice: 'required',
        parallel_tool_calls: false,
        max_output_tokens: 400,
      }
      const first = await openai.responses.create(asked)
      const call = first.output.find(({ type }) => type === 'function_call')
      assert(['Oslo', 'Rome'].includes(JSON.parse(call.arguments).city))
      const stream = openai.responses.stream(asked)
      const final = await stream.finalResponse()
      assert(final.output.some(({ type }) => type === 'function_call'))
      const answered = { type: 'function_call_output', call_id: call.call_id, output: 'rain' }
      const next = await openai.responses.create({
        model,
        previous_response_id: first.id,
        input: [answered],
        max_output_tokens: 6,
      })
      assert(next.output.length > 0)
    },
  },
  'anthropic: messages': async () => {
    const message = await anthropic.messages.create({ model, max_tokens: 12, messages: [user] })
    assert(message.content[0].text)
  },
  'anthropic: stream helper': async () => {
    const stream = anthropic.messages.stream({ model, max_tokens: 12, messages: [user], system: 'Be brief.' })
    let text = ''
    stream.on('text', (delta) => {
      text += delta
    })
    assert.equal((await stream.finalMessage()).content[0].text, text)
  },
  'anthropic: count_tokens': async () => {
    assert((await anthropic.messages.countTokens({ model, messages: [user] })).input_tokens > 3)
  },
  'anthropic: errors': async () => {
    await assert.rejects(anthropic.messages.create({ model: 'none', max_tokens: 2, messages: [user] }), Anthropic.NotFoundError)
    await assert.rejects(anthropic.messages.create({ model, max_tokens: -1, messages: [user] }), Anthropic.BadRequestError)
    const stranger = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
    await assert.rejects(stranger.messages.create({ model, max_tokens: 2, messages: [user] }), Anthropic.AuthenticationError)
  },
  'anthropic: a tool': {
    needs: 'tools',
    check: async () => {
      const tools = [{ name: 'weather', description: 'The weather of a city.', input_schema: parameters }]
      const tool_choice = { type: 'any', disable_parallel_tool_use: true }
      const asked = { model, max_tokens: 400, temperature: 0, messages: [user], tools, tool_choice }
      const message = await anthropic.messages.create(asked)
      const call = message.content.find(({ type }) => type === 'tool_use')
      assert(['Oslo', 'Rome'].includes(call.input.city))
      const streamed = await anthropic.messages.stream(asked).finalMessage()
      assert.equal(streamed.stop_reason, 'tool_use')
      const result = { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: 'rain' }] }
      const messages = [user, { role: 'assistant', content: message.content }, result]
      assert(await anthropic.messages.create({ model, max_tokens: 6, messages }))
    },
  },
  'ai sdk: generateText by responses': async () => {
    const { text } = await generateText({ model: ai(model), prompt: 'Tell me of the sea.', maxOutputTokens: 12, maxRetries: 0 })
    assert(text)
  },
  'ai sdk: streamText by responses': async () => {
    let text = ''
    const { textStream } = streamText({ model: ai(model), prompt: 'Tell me of the sea.', maxOutputTokens: 12, maxRetries: 0 })
    for await (const part of textStream) text += part
    assert(text)
  },
  'ai sdk: a conversation by item references': async () => {
    const first = await generateText({ model: ai(model), prompt: 'Hello', maxOutputTokens: 6, maxRetries: 0 })
    const messages = [{ role: 'user', content: 'Hello' }, ...first.response.messages, { role: 'user', content: 'More' }]
    assert((await generateText({ model: ai(model), messages, maxOutputTokens: 6, maxRetries: 0 })).text)
  },
  'ai sdk: by chat': async () => {
    assert((await generateText({ model: ai.chat(model), prompt: 'Hello', maxOutputTokens: 12, maxRetries: 0 })).text)
  },
  'ai sdk: generateObject': {
    needs: 'schemas',
    check: async () => {
      const { object } = await generateObject({ model: ai(model), schema: Pet, prompt: 'A pet.', maxRetries: 0 })
      assert(Pet.parse(object))
    },
  },
  'ai sdk: a tool': {
    needs: 'tools',
    check: async () => {
      const weather = tool({ description: 'The weather.', inputSchema: jsonSchema(parameters), execute: async () => 'rain' })
      const asked = { model: ai(model), prompt: 'Oslo?', tools: { weather }, toolChoice: 'required', maxOutputTokens: 400 }
      const { toolResults } = await generateText({ ...asked, maxRetries: 0 })
      assert.equal(toolResults[0].output, 'rain')
    },
  },
  'ai sdk: anthropic': async () => {
    assert((await generateText({ model: claude(model), prompt: 'Hello', maxOutputTokens: 12, maxRetries: 0 })).text)
  },
  'langchain: invoke and stream': async () => {
    assert((await chain.invoke('Hello')).content)
    let text = ''
    for await (const chunk of await chain.stream('Hello')) text += chunk.content
    assert(text)
  },
  'langchain: structured output': {
    needs: 'schemas',
    check: async () => assert(Pet.parse(await chain.withStructuredOutput(Pet, { method: 'jsonSchema' }).invoke('A pet.'))),
  },
}

let failed = 0
for (const [name, one] of Object.entries(CHECKS)) {
  const { needs, check } = typeof one === 'function' ? { check: one } : one
  if (needs && NEEDS[needs]) {
    console.log(`skip  ${name}: ${NEEDS[needs]}`)
    continue
  }
  try {
    await check()
    console.log(`ok    ${name}`)
  } catch (error) {
    failed++
    console.log(`FAIL  ${name}: ${error.message?.slice(0, 300)}`)
  }
}
process.exit(failed === 0 ? 0 : 1)
