/** A folder of adapters that is watched. */
import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { demoModel, temporaryFolder } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

t.test('what appears is served, what changes is replaced, what goes is gone', async (t) => {
  const folder = temporaryFolder(t)
  const copy = (from: string, to: string) => cpSync(demoModel(`adapters/${from}`), path.join(folder, to), { recursive: true })
  copy('pirate', 'a')
  const served = await startServed(t, { model: demoModel('base'), 'served-model-name': 'demo', adapters: folder, watch: true })
  const { adapters } = served.serving
  await served.preloaded
  const until = async (what: string, done: () => boolean) => {
    for (let i = 0; i < 500 && !done(); i++) await setTimeout(20)
    t.ok(done(), what)
  }
  const say = async (model: string) => {
    const { status, headers, body } = await served.post('/v1/completions', {
      model,
      prompt: 'Once',
      max_tokens: 4,
      temperature: 0,
    })
    return { status, digest: headers.get('x-lora-digest'), text: body.choices?.[0].text }
  }
  const pirate = await say('a')
  t.equal(pirate.status, 200)

  copy('robot', 'b')
  await until('b has come', () => adapters.get('b') !== undefined)
  const robot = await say('b')
  t.match(robot, { status: 200 })

  // A copy that takes its time: the config first, the weights a while later.
  mkdirSync(path.join(folder, 'late'))
  cpSync(demoModel('adapters/json/adapter_config.json'), path.join(folder, 'late/adapter_config.json'))
  await until('late is known', () => adapters.get('late') !== undefined)
  t.equal((await say('late')).status, 400, 'its weights are not there')
  cpSync(demoModel('adapters/json/adapter_model.safetensors'), path.join(folder, 'late/adapter_model.safetensors'))
  t.equal((await say('late')).status, 200)

  copy('robot', 'a')
  await until('a is another', () => adapters.get('a')?.digest === robot.digest)
  t.equal((await say('a')).text, robot.text)

  // Its template is part of it.
  writeFileSync(path.join(folder, 'a/chat_template.jinja'), 'x')
  await until('a has a template', () => adapters.get('a')?.digest !== robot.digest)
  rmSync(path.join(folder, 'a/chat_template.jinja'))
  await until('a has none', () => adapters.get('a')?.digest === robot.digest)

  // Nothing of what is wrong replaces what is right.
  writeFileSync(path.join(folder, 'a/adapter_model.safetensors'), 'no adapter at all')
  await setTimeout(2500)
  t.match(await say('a'), { status: 200, digest: robot.digest })

  renameSync(path.join(folder, 'b'), path.join(folder, 'c'))
  await until('b is c', () => adapters.get('b') === undefined && adapters.get('c') !== undefined)
  t.equal((await say('c')).digest, robot.digest)
  rmSync(path.join(folder, 'c'), { recursive: true })
  await until('c is gone', () => adapters.get('c') === undefined)
  t.equal((await say('c')).status, 404)
  await served.serving.engine.idle()
})

t.test('the folder itself is made anew, or a link to another: what is in the new one is heard', async (t) => {
  const above = temporaryFolder(t)
  const at = (name: string) => path.join(above, name)
  const copy = (from: string, to: string) => cpSync(demoModel(`adapters/${from}`), at(to), { recursive: true })
  copy('pirate', 'one/a')
  copy('robot', 'two/a')
  copy('json', 'two/b')
  symlinkSync('one', at('current'))
  const served = await startServed(t, { model: demoModel('base'), adapters: at('current'), watch: true })
  await served.preloaded
  const { adapters } = served.serving
  const names = () => adapters.list().map(({ name }) => name)
  const until = async (what: string, done: () => boolean) => {
    for (let i = 0; i < 500 && !done(); i++) await setTimeout(20)
    t.ok(done(), `${what}: ${names()}`)
  }
  const { digest } = adapters.get('a') ?? {}
  t.ok(digest)

  symlinkSync('two', at('next'))
  renameSync(at('next'), at('current'))
  await until('b has come', () => adapters.get('b') !== undefined)
  await until('a is another', () => adapters.get('a')?.digest !== digest)
  copy('emoji', 'two/c')
  await until('the new folder is watched', () => adapters.get('c') !== undefined)

  rmSync(at('two'), { recursive: true })
  await until('all are gone', () => names().length === 0)
  copy('shout', 'two/d')
  await until('it is there again', () => adapters.get('d') !== undefined)
  // Within a second, and the file system may give it the number that it had.
  rmSync(at('two'), { recursive: true })
  copy('shout', 'two/e')
  await until('it is another again', () => `${names()}` === 'e')
  await served.serving.engine.idle()
})
