/** Classifiers of adapters: read beside the image, kept on disk with it, and refused where they would answer wrongly. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ImageCache } from '../../adapters-store/image-cache.ts'
import { hostBytes, loadAdapter } from '../../adapters-store/index.ts'
import type { LoadOptions } from '../../adapters-store/types.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import { fixture, readJson, temporaryFolder } from '../support/repo.ts'
import { refusal } from './refusal.ts'
import { type Config, floats, readTensors, type Tensors, writeAdapter } from './write-adapter.ts'

const base = readBaseModel(fixture('pooling/llama/base'))
const classifier = readBaseModel(fixture('pooling/llama-classifier/base'))
const options: LoadOptions = { dtype: 'float32', blockBytes: 1 << 14 }
const CLASSES = fixture('pooling/llama/adapters/classes')
const SCORE = 'base_model.model.score.weight'

function changed(t: Test, change: (config: Config, tensors: Tensors) => void): string {
  const config = readJson<Config>(join(CLASSES, 'adapter_config.json'))
  const tensors = readTensors(join(CLASSES, 'adapter_model.safetensors'))
  change(config, tensors)
  return writeAdapter(temporaryFolder(t), config, tensors)
}

t.test('what is read, and what is kept', async (t) => {
  const image = loadAdapter('a', CLASSES, base, options)
  const { head, task } = image
  t.match({ task, head }, { task: 'SEQ_CLS', head: { labels: 3, biased: false } })
  t.equal(head!.values.byteLength, 3 * 32 * 4)
  t.equal(hostBytes(image), image.image.byteLength + head!.values.byteLength)
  const cache = new ImageCache({ directory: temporaryFolder(t), maxBytes: 1 << 30 }, base, options)
  cache.keep(CLASSES, cache.identify(CLASSES), image)
  const found = cache.find('a', CLASSES)!
  t.equal(found.task, 'SEQ_CLS')
  t.same(
    { ...found.head, values: [...new Float32Array(found.head!.values)] },
    { ...head, values: [...new Float32Array(head!.values)] },
  )
})

t.test('under its other name, with a bias, without LoRA, and where the config does not say the task', async (t) => {
  const biased = changed(t, (config, tensors) => {
    config.task_type = null
    tensors['base_model.model.classifier.weight'] = tensors[SCORE]
    tensors['base_model.model.classifier.bias'] = floats([3], (i) => i + 1)
    delete tensors[SCORE]
  })
  const { head, task } = loadAdapter('a', biased, base, options)
  t.match({ task, head }, { task: 'SEQ_CLS', head: { labels: 3, biased: true } })
  t.same([...new Float32Array(head!.values).subarray(96)], [1, 2, 3])
  const alone = changed(t, (config, tensors) => {
    config.target_modules = []
    for (const key of Object.keys(tensors)) if (key !== SCORE) delete tensors[key]
  })
  t.match(loadAdapter('a', alone, base, options), { maxRank: 0, head: { labels: 3 } })
  const feature = loadAdapter('a', fixture('pooling/llama/adapters/feature'), base, options)
  t.match(feature, { task: 'FEATURE_EXTRACTION', head: undefined })
})

t.test('what is refused', async (t) => {
  const refused = (
    change: (config: Config, tensors: Tensors) => void,
    code: Parameters<typeof refusal>[2],
    ...names: (string | RegExp)[]
  ) => refusal(t, changed(t, change), code, names, base, options)
  refused((_, tensors) => delete tensors[SCORE], 'adapter_tensor_invalid', 'score.weight', 'SEQ_CLS')
  refused(
    (config) => Object.assign(config, { task_type: 'CAUSAL_LM' }),
    'adapter_config_invalid',
    'CAUSAL_LM',
    'SEQ_CLS is expected',
  )
  refused((_, tensors) => Object.assign(tensors, { [SCORE]: floats([3, 31]) }), 'adapter_base_mismatch', '[3, 31]', '[any, 32]')
  refused((_, tensors) => Object.assign(tensors, { [SCORE]: floats([0, 32]) }), 'adapter_tensor_invalid', '0 labels')
  refused((_, tensors) => Object.assign(tensors, { [SCORE]: floats([10_001, 32]) }), 'adapter_tensor_invalid', '10001 labels')
  refused((_, tensors) => Object.assign(tensors, { [SCORE]: floats([3, 32], () => Number.NaN) }), 'adapter_tensor_invalid', 'NaN')
  refused(
    (_, tensors) => Object.assign(tensors, { 'base_model.model.classifier.weight': floats([3, 32]) }),
    'adapter_tensor_invalid',
    'name the same parameter of a classifier',
  )
  refused(
    (_, tensors) => {
      tensors['base_model.model.score.bias'] = floats([3])
      delete tensors[SCORE]
    },
    'adapter_tensor_invalid',
    'the bias of a classifier',
  )
  refused(
    (_, tensors) => Object.assign(tensors, { 'base_model.model.score.lora_A.weight': floats([4, 32]) }),
    'adapter_base_mismatch',
    'score',
  )
})

t.test('its labels are called as the config beside it says', async (t) => {
  const named = (said: object | string) => {
    const folder = changed(t, () => {})
    writeFileSync(join(folder, 'config.json'), typeof said === 'string' ? said : JSON.stringify(said))
    return folder
  }
  const unchanged = changed(t, () => {})
  const plain = loadAdapter('a', unchanged, base, options)
  const id2label = { 0: 'bad', 1: 'middling', 2: 'good' }
  const folder = named({ id2label, problem_type: 'multi_label_classification', num_labels: 3 })
  const image = loadAdapter('a', folder, base, options)
  t.match(image.head, { names: ['bad', 'middling', 'good'], problem: 'multi_label_classification' })
  t.not(image.digest, plain.digest, 'other names are another adapter')
  const cache = new ImageCache({ directory: temporaryFolder(t), maxBytes: 1 << 30 }, base, options)
  cache.keep(folder, cache.identify(folder), image)
  t.same(cache.find('a', folder)!.head!.names, image.head!.names)
  writeFileSync(join(folder, 'config.json'), '{}')
  t.notOk(cache.find('a', folder))
  t.equal(loadAdapter('a', folder, base, options).digest, plain.digest)
  refusal(
    t,
    named({ id2label: { 0: 'bad', 1: 'good' } }),
    'adapter_config_invalid',
    ['config.json: id2label', '3 labels'],
    base,
    options,
  )
  refusal(t, named({ problem_type: 'poetry' }), 'adapter_config_invalid', ['problem_type', 'regression'], base, options)
  refusal(t, named('{'), 'adapter_config_invalid', ['config.json is not JSON'], base, options)
})

t.test('on a base that classifies, a saved classifier must be there', async (t) => {
  const without = changed(t, (_, tensors) => delete tensors[SCORE])
  refusal(t, without, 'adapter_tensor_invalid', ['score.weight', 'modules_to_save'], classifier, options)
  const unsaved = changed(t, (config, tensors) => {
    config.modules_to_save = null
    delete tensors[SCORE]
  })
  t.match(loadAdapter('a', unsaved, classifier, options), { task: 'SEQ_CLS', head: undefined })
})
