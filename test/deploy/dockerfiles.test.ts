/** What a Docker engine would find out only while it builds: sources that are not in the context, stages that do not exist, shell that does not parse. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { type Copy, type Dockerfile, DockerfileParser, type From } from 'dockerfile-ast'
import t from 'tap'
import { parse } from 'yaml'
import { readJson, repoRoot } from '../support/repo.ts'

const read = (file: string) => readFileSync(path.join(repoRoot(), file), 'utf8')
const ignored = read('.dockerignore').split('\n').filter(Boolean)

/** Whether a path is in the build context. Good for what .dockerignore holds: names at the root, and names anywhere with a leading **. */
function inContext(source: string): boolean {
  const parts = path.normalize(source).split('/')
  const left = ignored.every((pattern) => (pattern.startsWith('**/') ? !parts.includes(pattern.slice(3)) : parts[0] !== pattern))
  return left && existsSync(path.join(repoRoot(), source))
}

interface Stage {
  from: From
  copies: Copy[]
}

function stages(dockerfile: Dockerfile): Stage[] {
  const found: Stage[] = []
  for (const instruction of dockerfile.getInstructions()) {
    if (instruction.getKeyword() === 'FROM') found.push({ from: instruction as From, copies: [] })
    if (instruction.getKeyword() === 'COPY') found.at(-1)?.copies.push(instruction as Copy)
  }
  return found
}

const sourcesOf = (copy: Copy) =>
  copy
    .getArguments()
    .slice(0, -1)
    .map((argument) => argument.getValue())

for (const name of readdirSync(path.join(repoRoot(), 'deploy/docker')).filter((file) => file.startsWith('Dockerfile')))
  t.test(name, async (t) => {
    const file = `deploy/docker/${name}`
    const dockerfile = DockerfileParser.parse(read(file))
    const all = stages(dockerfile)
    const names = all.map(({ from }) => from.getBuildStage())

    await t.test('copies what is there', async (t) => {
      for (const [index, { copies }] of all.entries())
        for (const copy of copies) {
          const from = copy.getFromFlag()?.getValue()
          if (from === undefined)
            for (const source of sourcesOf(copy)) t.ok(inContext(source), `${source} is in the build context`)
          else t.ok(names.slice(0, index).includes(from), `--from=${from} is a stage above`)
        }
    })

    await t.test('takes into its last stage only what the build stage makes', async (t) => {
      const taken = all.at(-1)?.copies ?? []
      t.ok(taken.length > 4)
      const made = [
        'build/native/lorikeet.node',
        'build/cuda-provider',
        'dist',
        'node_modules',
        'package.json',
        'sbom.json',
        'LICENSE',
        'native/third_party/onnxruntime/LICENSE',
        'deploy/demo-model',
        'server/ui/page',
      ]
      for (const copy of taken)
        for (const source of sourcesOf(copy))
          t.ok(source.startsWith('/usr/') || made.some((part) => source === `/src/${part}`), source)
    })

    await t.test('pins its images and ends as a user that is not root', async (t) => {
      for (const { from } of all)
        t.match(from.getImageTag(), /^\d+(\.\d+\.\d+)?-/, `${from.getImage()} names a version and a system`)
      const users = dockerfile.getInstructions().filter((instruction) => instruction.getKeyword() === 'USER')
      t.same(
        users.map((user) => user.getArgumentsContent()),
        ['1000:1000'],
      )
    })

    await t.test('runs Node as package.json asks, the version of .nvmrc', async (t) => {
      const node = all.map(({ from }) => from).find((from) => from.getImageName() === 'node')
      const [, least] =
        readJson<{ engines: { node: string } }>(path.join(repoRoot(), 'package.json')).engines.node.match(/(\d+)/) ?? []
      const has = Number.parseInt(node?.getImageTag() ?? '', 10)
      t.ok(has >= Number(least))
      t.equal(has, Number(read('.nvmrc')))
    })

    await t.test('its shell commands parse', async (t) => {
      const runs = dockerfile.getInstructions().filter((instruction) => instruction.getKeyword() === 'RUN')
      t.ok(runs.length > 2)
      for (const run of runs) {
        const { status, stderr } = spawnSync('sh', ['-n', '-c', run.getRawArgumentsContent() ?? ''], { encoding: 'utf8' })
        t.equal(status, 0, stderr)
      }
    })
  })

t.test('compose builds from Dockerfiles and mounts files that exist', async (t) => {
  const here = 'deploy/docker'
  for (const name of ['compose.yaml', 'compose.cuda.yaml']) {
    const { services } = parse(read(`${here}/${name}`)) as {
      services: Record<string, { build?: { dockerfile: string }; volumes?: string[] }>
    }
    for (const [service, { build, volumes = [] }] of Object.entries(services)) {
      if (build)
        t.ok(existsSync(path.join(repoRoot(), build.dockerfile)), `${name}: ${service} is built from ${build.dockerfile}`)
      for (const [source] of volumes.map((volume) => volume.split(':')))
        if (source.startsWith('.')) t.ok(existsSync(path.join(repoRoot(), here, source)), `${name}: ${service} mounts ${source}`)
    }
  }
})

t.test('the CUDA image has the toolkit of the provider, to build and to run', async (t) => {
  const [build, run] = stages(DockerfileParser.parse(read('deploy/docker/Dockerfile.cuda')))
    .map(({ from }) => from.getImage())
    .filter((image) => image?.startsWith('nvidia/cuda:'))
  t.match(build, /^nvidia\/cuda:13\.\d+\.\d+-devel-/)
  t.equal(run, build?.replace('-devel-', '-runtime-'), 'one version and system for both')
})
