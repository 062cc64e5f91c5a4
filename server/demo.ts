/** The embedded default: the demo model of deploy/demo-model and its nine adapters. */
import { existsSync } from 'node:fs'
import path from 'node:path'

export function embeddedDemo(): { name: string; model: string; adapters: string } {
  for (let dir = import.meta.dirname; ; dir = path.dirname(dir)) {
    const demo = path.join(dir, 'deploy', 'demo-model')
    if (existsSync(demo)) return { name: 'demo', model: path.join(demo, 'base'), adapters: path.join(demo, 'adapters') }
    if (dir === path.dirname(dir)) throw new Error('the demo model (deploy/demo-model) is missing; name a model folder')
  }
}
