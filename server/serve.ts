/** The composition root: builds the concrete things from a config and starts listening. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { createSecureContext } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import {
  type AdapterRegistry,
  HubDownloads,
  type HubProgress,
  type HubSettings,
  hubSettings,
  hubText,
} from '../adapters-store/index.ts'
import { threadsWarning } from '../runtime/cores.ts'
import { cudaObstacles, startEngine } from '../runtime/index.ts'
import { readBaseModel } from '../runtime/model/index.ts'
import { Access } from './access/access.ts'
import { isLoopback } from './access/hosts.ts'
import { AdapterManagement } from './adapter-management.ts'
import { AdapterTiers } from './adapter-tiers.ts'
import { buildAdminApp, buildApp } from './app.ts'
import { chooseDevice, describeDevice, hasGpu, type Machine } from './config/device.ts'
import { engineSettings } from './config/engine-settings.ts'
import { samplingDefaults } from './config/generation-config.ts'
import { isLocal } from './config/kv-events.ts'
import type { Config } from './config/settings.ts'
import { ConfigError } from './config/values.ts'
import { Connections } from './connections.ts'
import { CostAccount } from './cost.ts'
import { embeddedDemo } from './demo.ts'
import { drain } from './drain.ts'
import { limitConnections, mostConnections } from './handles.ts'
import type { Certificate } from './http.ts'
import { findModel } from './hub-model.ts'
import { KvEvents } from './kv-events/publisher.ts'
import { createLog } from './log.ts'
import { ServerMetrics } from './metrics/metrics.ts'
import { requireModelFolder } from './model-folder.ts'
import { formatsOf } from './openai/message/from-template.ts'
import { embeddingPlan } from './pooling/folder.ts'
import { isScoreTemplate } from './pooling/score-marks.ts'
import { Readiness } from './readiness.ts'
import { Records } from './records/records.ts'
import { RequestLimits } from './request-limits.ts'
import { Starting } from './starting.ts'
import { CompiledGrammars } from './structured/grammars.ts'
import { OwnTexts } from './tokenizer/adapter-texts.ts'
import { ModelChatTemplate } from './tokenizer/chat-template.ts'
import { tokenizerInfo } from './tokenizer/info.ts'
import { ModelPromptReader } from './tokenizer/prompt-reader.ts'
import { ModelTokenizer } from './tokenizer/tokenizer.ts'
import { endpointWarning, tracesEndpoint } from './tracing/endpoint.ts'
import { startTraces } from './tracing/start.ts'
import type { Traces } from './tracing/traces-types.ts'
import type { AdapterRecord, Serving } from './types.ts'

export interface ServeHooks {
  /** Fraction of the weights read. */
  onProgress?: (fraction: number) => void
  /** How far downloads from the hub are that the start waits for. */
  onDownload?: (progress: HubProgress) => void
  /** The hub and its cache; what the environment says if absent. */
  hub?: HubSettings
  /** The engine failed: nothing more can be served. */
  onFailure?: (error: Error) => void
  /** An adapter cannot be served: `detail` says why. Also called while serving. */
  onRefusal?: (adapter: AdapterRecord) => void
  log?: Logger
  /** What `--device auto` decides by; this machine if absent. */
  machine?: Machine
}

export interface Server {
  /** http://HOST:PORT, or https: */
  address: string
  /** Where metrics and docs are, if they have a port of their own. */
  adminAddress?: string
  /** What the model runs on and in, for people. */
  device: string
  app: FastifyInstance
  serving: Serving
  /** Where they are published. */
  kvEvents?: KvEvents
  adapters: readonly AdapterRecord[]
  /** Resolves when few adapters have been loaded, or refused; at once when there are many. */
  preloaded: Promise<void>
  /** Begins nothing more, lets what is in flight end within the drain timeout, then stops listening and releases everything. */
  close(): Promise<void>
}

/** Loads model and adapters and serves them; until then its port tells that it loads. Throws ConfigError, ModelError, EngineError or the system's error when it cannot. */
export async function serve(config: Config, hooks: ServeHooks = {}): Promise<Server> {
  requireTogether(config)
  const tracesUrl = tracesEndpoint(config.otlpTracesEndpoint, process.env)
  const certificate = certificateOf(config)
  // Of a free port nobody knows the number yet.
  const starting = config.port === 0 ? undefined : await Starting.listen(config, certificate)
  const onProgress = (fraction: number) => {
    if (starting) starting.progress = fraction
    hooks.onProgress?.(fraction)
  }
  try {
    return await serveOn(config, { ...hooks, onProgress }, { certificate, tracesUrl, freePort: async () => starting?.close() })
  } finally {
    await starting?.close()
  }
}

interface Outside {
  certificate: Certificate | undefined
  /** Where spans are sent. */
  tracesUrl: string | undefined
  /** Nobody else listens any more once it resolves. */
  freePort: () => Promise<void>
}

async function serveOn(config: Config, hooks: ServeHooks, { certificate, tracesUrl, freePort }: Outside): Promise<Server> {
  const demo = config.model === undefined ? embeddedDemo() : undefined
  const log = hooks.log ?? createLog(config.logLevel)
  const downloads = new HubDownloads(hooks.hub ?? hubSettings(process.env))
  downloads.onProgress = hooks.onDownload
  downloads.onWarning = (message) => log.warn(message)
  const { directory, hub } = await findModel(demo?.model ?? (config.model as string), downloads)
  requireModelFolder(directory)
  const access = new Access(config, log)
  const base = readBaseModel(directory, config.maxExtraTokens)
  const defaults = samplingDefaults(directory)
  const embeddings = embeddingPlan(directory, base.hiddenSize)
  const tokenizer = ModelTokenizer.load(directory)
  const chatTemplate = ModelChatTemplate.load(directory, config.chatTemplate)
  const said = { tools: config.toolCallParser, reasoning: config.reasoningParser }
  const formats = formatsOf(said, chatTemplate.source)
  const machine = hooks.machine ?? { cudaObstacles: () => cudaObstacles(directory), hasGpu }
  const { device, obstacles, warnings } = chooseDevice(config, machine)
  const settings = engineSettings(config, device, directory)
  const tooMany = threadsWarning(settings.threads)
  for (const warning of tooMany ? [...warnings, tooMany] : warnings) log.warn(warning)
  const engine = await startEngine(settings, hooks.onProgress)
  const deviceLine = describeDevice(engine.info, config.quantization)
  log.info(
    { ...engine.info, classifier: engine.info.classifier?.labels, notCuda: obstacles.length > 0 ? obstacles : undefined },
    `device: ${deviceLine}`,
  )
  if (config.maxModelLen !== undefined && engine.info.maxModelLen < config.maxModelLen)
    log.warn(`--max-model-len ${config.maxModelLen} is cut to ${engine.info.maxModelLen}: the pool holds no more tokens (--pool)`)
  let failed = false
  engine.onFailure = (error) => {
    failed = true
    void kvEvents?.end()
    log.fatal({ err: error }, 'the engine failed')
    hooks.onFailure?.(error)
  }
  let kvEvents: KvEvents | undefined
  engine.onWarning = (message) => log.warn(message)
  const prompts = new ModelPromptReader(directory, tokenizer, chatTemplate, {
    maxModelLen: engine.info.maxModelLen,
    processes: config.tokenizerProcesses,
  })
  prompts.warm()
  let tiers: AdapterTiers | undefined
  let traces: Traces | undefined
  // Of a model that only classifies, a template that the operator gives can be for nothing else.
  const given = config.chatTemplate !== undefined && engine.info.classifier !== undefined
  const scoreTemplate = given || isScoreTemplate(chatTemplate.source)
  const texts = new OwnTexts({ folder: directory, tokenizer, template: chatTemplate, prompts, formats, scoreTemplate })
  const grammars = new CompiledGrammars(engine, config)
  grammars.onWarning = (message) => log.warn(message)
  const release = async () => {
    await grammars.close()
    access.close()
    texts.close()
    prompts.close()
    await downloads.close()
    await engine.close()
    await kvEvents?.end()
    await traces?.close()
    await tiers?.close()
  }
  try {
    if (config.kvEventsConfig) {
      kvEvents = await KvEvents.start(engine, config.kvEventsConfig, (message) => log.warn(message))
      const open = [kvEvents.endpoint, kvEvents.replayEndpoint ?? []].flat().filter((endpoint) => !isLocal(endpoint))
      if (open.length > 0)
        log.warn(`whoever reaches ${open.join(' or ')} reads the token ids of all prompts (--kv-events-config)`)
    }
    const folder = config.adapters ?? demo?.adapters
    tiers = new AdapterTiers(config, folder, base, { engine, texts, downloads, log })
    const { registry: adapters } = tiers
    adapters.onRefusal = (adapter) => hooks.onRefusal?.(adapter)
    tiers.hub.onRefusal = (adapter) => hooks.onRefusal?.(adapter)
    await tiers.enter()
    const name = config.servedModelName ?? demo?.name ?? hub?.repo ?? path.basename(directory)
    reserveName(adapters, name)
    const started = Math.floor(Date.now() / 1000)
    const metrics = new ServerMetrics(engine, name, tiers, config)
    tiers.onRead = metrics.adapterRead
    metrics.canaries = () => adapters.canaries()
    metrics.grammars = () => grammars.counters
    engine.onStep = (step) => metrics.stepped(step)
    const requestLimits = new RequestLimits(config)
    const records = new Records(log, config)
    records.onEnd(metrics.ended)
    if (tracesUrl !== undefined) {
      const warning = endpointWarning(tracesUrl)
      if (warning) log.warn(warning)
      traces = await startTraces(tracesUrl, (message) => log.warn(message))
      records.onEnd(traces.tell)
      const { counts } = traces
      metrics.spans = () => counts
    }
    const { pinned } = tiers
    const readiness = new Readiness(() => pinned.missing())
    const serving: Serving = {
      engine,
      model: { name, root: hub ? hubText(hub) : directory, created: started, maxModelLen: engine.info.maxModelLen },
      tokenizer,
      prompts,
      tokenizerInfo: tokenizerInfo(directory, chatTemplate.source),
      formats,
      scoreTemplate,
      vocabSize: engine.info.vocabSize,
      endTokenIds: engine.info.eosTokenIds,
      embeddings,
      texts,
      adapters,
      onDemand: tiers.hub,
      management: new AdapterManagement(adapters, engine, {
        allowed: config.allowAdapterManagement,
        roots: tiers.roots,
        given: (name) => Object.hasOwn(config.adapter, name),
        state: tiers.state,
        hub: tiers.hub,
        limits: requestLimits.ofAdapters,
      }),
      metrics,
      defaults,
      limits: config,
      access,
      scheduling: config.scheduling,
      cost: new CostAccount(config),
      requestLimits,
      grammars,
      unhealthy: () => {
        if (failed) return 'the engine has failed; see the server log'
        const silent = Math.floor(engine.silentMs / 1000)
        return silent < config.stepTimeout
          ? undefined
          : `the engine has told nothing for ${silent} s although requests are open (--step-timeout)`
      },
      readiness,
      records,
      log,
    }
    metrics.ready = () => serving.unhealthy() === undefined && readiness.reason === undefined
    const adminApart = config.adminPort !== undefined
    const app = await buildApp(serving, { certificate, adminApart, ui: config.ui, kvEvents })
    const connections = new Connections(app.server, config.writeTimeout)
    // As many for what adapters bring, and one more for templates that requests bring.
    limitConnections(app.server, mostConnections(2 * config.tokenizerProcesses + 1), log)
    await freePort()
    const address = await app.listen({ host: config.host, port: config.port })
    const adminHost = config.adminHost ?? config.host
    const admin = adminApart ? await buildAdminApp(serving, app, adminHost, { certificate, ui: config.ui, kvEvents }) : undefined
    const adminAddress = await admin?.listen({ host: adminHost, port: config.adminPort })
    await tiers.start()
    downloads.onProgress = ({ name, totalBytes, ended, bytes }) => {
      if (bytes === 0 || ended) log.info(`${name}: ${bytes} of ${totalBytes} bytes from the hub`)
    }
    // Metrics are read until the last answer has gone.
    const close = async () => {
      readiness.drain()
      await tiers?.stop()
      await drain(app, engine, connections, config.drainTimeout)
      admin?.server.closeAllConnections()
      await admin?.close()
      await release()
    }
    if (!access.keys && !isLoopback(config.host))
      log.warn(
        `whoever reaches ${config.host}:${new URL(address).port} may use it: no key is asked for (--api-key, or LORIKEET_API_KEY)`,
      )
    return {
      address,
      adminAddress,
      device: deviceLine,
      app,
      serving,
      kvEvents,
      adapters: adapters.list(),
      preloaded: tiers.preload(),
      close,
    }
  } catch (error) {
    await release()
    throw error
  }
}

/** Throws ConfigError for settings that contradict each other. */
export function requireTogether(config: Config): void {
  if (config.adminHost !== undefined && config.adminPort === undefined)
    throw new ConfigError('--admin-host says where the admin port listens, and there is none: give --admin-port too')
  if (config.kvEventsConfig && !config.prefixCache)
    throw new ConfigError(
      '--kv-events-config tells what the prefix cache holds, and --no-prefix-cache keeps nothing: leave one of them out',
    )
  if (config.enableLogOutputs && !config.enableLogRequests)
    throw new ConfigError('--enable-log-outputs adds the answers to the lines of --enable-log-requests: give that too')
  if (config.fairness === 'adapter' && config.scheduling !== 'fair')
    throw new ConfigError(
      `--fairness adapter says whom fair scheduling counts service for, and --scheduling is ${config.scheduling}: give --scheduling fair too`,
    )
}

/** The base model's name, which no adapter may have. Throws ConfigError. */
export function reserveName(adapters: AdapterRegistry, name: string): void {
  if (adapters.get(name))
    throw new ConfigError(`an adapter has the base model's name, ${name}; choose another with --served-model-name`)
  adapters.reserve(name)
}

/** undefined: plain HTTP. Throws ConfigError for files that cannot be read, or one without the other. */
function certificateOf({ sslCertfile, sslKeyfile }: Config): Certificate | undefined {
  if (sslCertfile === undefined && sslKeyfile === undefined) return undefined
  if (sslCertfile === undefined || sslKeyfile === undefined)
    throw new ConfigError('--ssl-certfile and --ssl-keyfile go together; one is missing')
  try {
    const certificate = { cert: readFileSync(sslCertfile, 'utf8'), key: readFileSync(sslKeyfile, 'utf8') }
    createSecureContext(certificate)
    return certificate
  } catch (error) {
    throw new ConfigError(
      `--ssl-certfile ${sslCertfile} and --ssl-keyfile ${sslKeyfile} are no certificate (PEM) and its key: ${(error as Error).message}`,
    )
  }
}
