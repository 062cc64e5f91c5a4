/** What the utility routes need, with the demo model's tokenizer and template and an engine that only has sizes and a snapshot. */
import assert from 'node:assert'
import { pino } from 'pino'
import type { Engine } from '../../../runtime/index.ts'
import { Access } from '../../../server/access/access.ts'
import { AdapterManagement } from '../../../server/adapter-management.ts'
import { configOf } from '../../../server/config/config.ts'
import { CostAccount } from '../../../server/cost.ts'
import { ServerMetrics } from '../../../server/metrics/metrics.ts'
import { Readiness } from '../../../server/readiness.ts'
import { Records } from '../../../server/records/records.ts'
import { RequestLimits } from '../../../server/request-limits.ts'
import { ModelTokenizer } from '../../../server/tokenizer/tokenizer.ts'
import type { AdapterRecord, Serving } from '../../../server/types.ts'
import { noGrammars } from '../../support/no-grammars.ts'
import { demoPrompts } from '../../support/prompts.ts'
import { notLoaded, testRegistry } from '../../support/registry.ts'
import { demoModel } from '../../support/repo.ts'

export function utilityServing(overrides: Partial<Serving> = {}): Serving {
  const snapshot = {
    running: 2,
    waiting: 3,
    blocks: { total: 10, free: 10, sequences: 0, adapters: 0, idleAdapters: 0, cachedPrefixes: 0 },
    frames: { used: 0, free: 0 },
    residentAdapters: 0,
    counters: {},
    acceptedAt: [],
  }
  const engine = {
    info: {
      vocabSize: 1540,
      addedTokens: 0,
      maxModelLen: 1024,
      blockSize: 16,
      blockCount: 10,
      blockBytes: 4096,
      frameBytes: 4096,
    },
    snapshot,
    residents: new Map(),
    waitingAdapters: () => [],
  } as unknown as Engine
  const records: AdapterRecord[] = [
    { name: 'pirate', directory: '/adapters/pirate', created: 20, digest: 'ab12', method: 'LORA' },
    { name: 'team/pirate v2', directory: '/adapters/team', created: 30, digest: 'ab12', method: 'LORA' },
    { name: 'broken', directory: '/adapters/broken', created: 40, refusal: 'it holds no adapter_model.safetensors' },
  ]
  return {
    engine,
    model: { name: 'demo', root: '/models/demo', created: 10, maxModelLen: 1024 },
    tokenizer: ModelTokenizer.load(demoModel('base')),
    prompts: demoPrompts(1024),
    tokenizerInfo: {},
    vocabSize: engine.info.vocabSize,
    endTokenIds: [2, 5],
    texts: { of: () => assert.fail('no adapter has a text of its own') },
    adapters: {
      get: (name) => records.find((record) => record.name === name),
      list: () => records,
      lease: async (wanted) => ({
        digests: wanted.map(({ digest = '' }) => digest),
        texts: wanted.map(() => undefined),
        maxRanks: wanted.map(() => 0),
        ranked: wanted.map(() => false),
        vocabSizes: wanted.map(() => undefined),
        heads: wanted.map(() => undefined),
        release: () => {},
      }),
    },
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
    ...overrides,
  }
}
