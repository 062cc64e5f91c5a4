/** A server over an engine that does what a test says: for what a real engine does only when it fails. */
import assert from 'node:assert'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { Engine, SequenceOutput, SequenceRequest } from '../../runtime/index.ts'
import { Access } from '../../server/access/access.ts'
import { AdapterManagement } from '../../server/adapter-management.ts'
import { buildApp } from '../../server/app.ts'
import { configOf } from '../../server/config/config.ts'
import { CostAccount } from '../../server/cost.ts'
import { ServerMetrics } from '../../server/metrics/metrics.ts'
import { Readiness } from '../../server/readiness.ts'
import { Records } from '../../server/records/records.ts'
import { RequestLimits } from '../../server/request-limits.ts'
import { ModelTokenizer } from '../../server/tokenizer/tokenizer.ts'
import type { Serving } from '../../server/types.ts'
import { noGrammars } from './no-grammars.ts'
import { demoPrompts } from './prompts.ts'
import { notLoaded, testRegistry } from './registry.ts'
import { demoModel } from './repo.ts'

export interface Submitted {
  request: SequenceRequest
  send(output: Partial<SequenceOutput>): void
}

export interface FakeServing {
  app: FastifyInstance
  url: string
  submitted: Submitted[]
  aborted: string[]
}

/** `onSubmit` may send outputs later, or throw. `others` replaces parts of the serving, which is otherwise the demo model's. */
export async function fakeServing(
  t: { teardown(handler: () => Promise<void>): unknown },
  onSubmit: (submitted: Submitted, index: number) => void,
  others: Partial<Serving> = {},
): Promise<FakeServing> {
  const submitted: Submitted[] = []
  const aborted: string[] = []
  const snapshot = {
    running: 0,
    waiting: 0,
    blocks: {},
    frames: {},
    residentAdapters: 0,
    counters: {},
    acceptedAt: [],
    lastStep: {},
  }
  const engine = {
    info: {
      vocabSize: 1536,
      addedTokens: 0,
      maxModelLen: 1 << 20,
      eosTokenIds: [2, 5],
      blockSize: 16,
      blockCount: 10,
      blockBytes: 4096,
      frameBytes: 4096,
    },
    snapshot,
    residents: new Map(),
    waitingAdapters: () => [],
    submit(request: SequenceRequest, onOutput: (output: SequenceOutput) => void) {
      const one = { request, send: (output: Partial<SequenceOutput>) => onOutput({ id: request.id, tokens: [], ...output }) }
      submitted.push(one)
      onSubmit(one, submitted.length - 1)
    },
    abort: (id: string) => aborted.push(id),
  } as unknown as Engine
  const serving: Serving = {
    engine,
    model: { name: 'demo', root: '/models/demo', created: 10, maxModelLen: 1 << 20 },
    tokenizer: ModelTokenizer.load(demoModel('base')),
    prompts: demoPrompts(),
    tokenizerInfo: {},
    vocabSize: engine.info.vocabSize,
    endTokenIds: engine.info.eosTokenIds,
    texts: { of: () => assert.fail('no adapter has a text of its own') },
    adapters: { get: () => undefined, list: () => [], lease: () => Promise.reject(new Error('there are none')) },
    management: new AdapterManagement(testRegistry(notLoaded).registry, engine, { allowed: false, roots: [] }),
    metrics: new ServerMetrics(engine, 'demo', testRegistry(notLoaded)),
    defaults: {},
    limits: configOf({ 'body-limit': 2 ** 20, 'max-concurrent-requests': 8 }),
    access: new Access(configOf({}), pino({ level: 'silent' })),
    scheduling: 'fcfs',
    cost: new CostAccount(configOf({})),
    requestLimits: new RequestLimits(configOf({})),
    grammars: noGrammars,
    unhealthy: () => undefined,
    readiness: new Readiness(),
    records: new Records(pino({ level: 'silent' })),
    log: pino({ level: 'silent' }),
    ...others,
  }
  const app = await buildApp(serving)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    app.server.closeAllConnections()
    await app.close()
  })
  return { app, url, submitted, aborted }
}
