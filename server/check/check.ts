/** Would this model and these adapters be served, and how much memory would it take: what a server reads before it loads anything, read the same way. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { type AdapterPlan, HubDownloads, hubSettings, hubText } from '../../adapters-store/index.ts'
import { cudaObstacles, EngineError, type EnginePlan, type EngineSettings, namedDtype, planEngine } from '../../runtime/index.ts'
import { ModelError } from '../../runtime/model/index.ts'
import { hostMemoryOf, loadOptions } from '../config/adapter-options.ts'
import { chooseDevice, hasGpu, type Machine } from '../config/device.ts'
import { engineSettings } from '../config/engine-settings.ts'
import { samplingDefaults } from '../config/generation-config.ts'
import type { Config } from '../config/settings.ts'
import { ConfigError } from '../config/values.ts'
import { embeddedDemo } from '../demo.ts'
import { hubNameOf } from '../hub-model.ts'
import { requireModelFolder } from '../model-folder.ts'
import { formatsOf } from '../openai/message/from-template.ts'
import { isScoreTemplate } from '../pooling/score-marks.ts'
import { requireTogether, reserveName } from '../serve.ts'
import { OwnTexts } from '../tokenizer/adapter-texts.ts'
import { ModelChatTemplate } from '../tokenizer/chat-template.ts'
import { ModelPromptReader } from '../tokenizer/prompt-reader.ts'
import { ModelTokenizer } from '../tokenizer/tokenizer.ts'
import { checkAdapters, knownAdapters } from './adapters.ts'
import { deviceMemoryOf, hostMemory, memoryOf, poolOf } from './memory.ts'
import type { CheckedModel, CheckReport } from './report.ts'

export interface CheckHooks {
  /** Read every value of the adapters. */
  values?: boolean
  /** What `--device auto` decides by; this machine if absent. */
  machine?: Machine
}

interface Found {
  name: string
  directory: string
}

/** Nothing is written, fetched or listened on. Throws ConfigError for settings that contradict each other and folders that are not there. */
export async function check(config: Config, { values = false, machine }: CheckHooks = {}): Promise<CheckReport> {
  requireTogether(config)
  const demo = config.model === undefined ? embeddedDemo() : undefined
  const downloads = new HubDownloads(hubSettings(process.env))
  const warnings: string[] = []
  const found = await findHere(demo?.model ?? (config.model as string), downloads)
  const name = config.servedModelName ?? demo?.name ?? found.name
  const { directory } = found
  requireModelFolder(directory)
  const { registry, refused } = await knownAdapters(config, config.adapters ?? demo?.adapters, downloads, (line) =>
    warnings.push(line),
  )
  reserveName(registry, name)
  const asked = machine ?? { cudaObstacles: () => cudaObstacles(directory), hasGpu }
  const opened = open(config, directory, asked, warnings)
  if (typeof opened === 'string')
    return { model: { name, directory, served: false, reason: opened }, adapters: refused, warnings }
  const { plan, settings, texts } = opened
  const { base } = plan.model
  const blocks = { blockBytes: plan.pool.blockBytes, blockCount: plan.pool.count, frameBytes: plan.frameBytes }
  const options = loadOptions(config, { adapterDtype: plan.adapterDtype, ...blocks })
  // How large the pool is, the device alone can say.
  if (plan.pool.count === 0 && config.maxAdapterBytes === undefined) options.limits.bytes = Number.POSITIVE_INFINITY
  try {
    const checking = { base, options, hostMemory: hostMemoryOf(config), values, admit: texts.admit }
    const adapters = [...refused, ...(await checkAdapters(registry.list(), checking))]
    const served = adapters.filter((adapter) => adapter.served)
    const cuda = settings.device === 'cuda'
    return {
      model: { name, directory, ...modelOf(plan, settings, config) },
      adapters,
      pool: poolOf(plan, served),
      ...(cuda ? { deviceMemory: deviceMemoryOf(plan, settings) } : { memory: memoryOf(plan, settings, config, served) }),
      hostMemory: hostMemory(config, served),
      warnings,
    }
  } finally {
    texts.close()
  }
}

/** A folder, or what the hub's cache holds. Throws ConfigError. */
async function findHere(given: string, downloads: HubDownloads): Promise<Found> {
  const hub = hubNameOf(given)
  if (!hub) return { directory: path.resolve(given), name: path.basename(path.resolve(given)) }
  const cached = await downloads.cached(hub, 'model')
  if (!cached) {
    const folder = existsSync(given) ? '' : `; there is no folder ${given} either`
    throw new ConfigError(
      `the model ${hubText(hub)} of the hub is not in this machine's cache, and nothing is fetched for a check${folder}`,
    )
  }
  return { directory: cached.directory, name: hub.repo }
}

/** All that a server reads before the weights, or why it ends there. */
function open(config: Config, directory: string, machine: Machine, warnings: string[]) {
  try {
    samplingDefaults(directory)
    const tokenizer = ModelTokenizer.load(directory)
    const template = ModelChatTemplate.load(directory, config.chatTemplate)
    const chosen = chooseDevice(config, machine)
    warnings.push(...chosen.warnings)
    // Caches are only written to: a check leaves no folders.
    const settings = engineSettings({ ...config, weightCache: undefined }, chosen.device, directory)
    const plan = planEngine(settings)
    return { plan, settings, texts: new Texts(config, directory, tokenizer, template, plan) }
  } catch (error) {
    // What is anything else is a fault of ours, or a file's: a server would end with it too.
    if (error instanceof ConfigError || error instanceof ModelError || error instanceof EngineError) return error.message
    return (error as Error).message
  }
}

/** What adapters bring of their own, tried as the server tries it; its processes start with the first of them. */
class Texts {
  private prompts: ModelPromptReader | undefined
  private own: OwnTexts | undefined
  private readonly make: () => { prompts: ModelPromptReader; own: OwnTexts }

  constructor(config: Config, folder: string, tokenizer: ModelTokenizer, template: ModelChatTemplate, { model }: EnginePlan) {
    this.make = () => {
      const { maxModelLen } = model
      const prompts = new ModelPromptReader(folder, tokenizer, template, { maxModelLen, processes: config.tokenizerProcesses })
      const said = { tools: config.toolCallParser, reasoning: config.reasoningParser }
      const formats = formatsOf(said, template.source)
      return {
        prompts,
        own: new OwnTexts({ folder, tokenizer, template, prompts, formats, scoreTemplate: isScoreTemplate(template.source) }),
      }
    }
  }

  readonly admit = async (plan: AdapterPlan): Promise<AdapterPlan> => {
    if (!plan.text) return plan
    if (!this.own) Object.assign(this, this.make())
    const text = await (this.own as OwnTexts).admitText(plan.text)
    return { ...plan, text, bytes: plan.bytes - plan.text.bytes + text.bytes }
  }

  close(): void {
    this.own?.close()
    this.prompts?.close()
  }
}

function modelOf(
  { model, adapterDtype, pool, blockSize }: EnginePlan,
  { device }: EngineSettings,
  config: Config,
): Omit<CheckedModel, 'name' | 'directory'> {
  const { base, cacheDtype, maxModelLen } = model
  const parameters = Object.values(base.tensors).reduce(
    (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  )
  return {
    served: true,
    modelType: base.modelType,
    parameters,
    device,
    dtype: namedDtype(model),
    quantization: config.quantization,
    kvCacheDtype: cacheDtype,
    adapterDtype,
    maxModelLen: pool.count === 0 ? maxModelLen : Math.min(maxModelLen, pool.count * blockSize),
  }
}
