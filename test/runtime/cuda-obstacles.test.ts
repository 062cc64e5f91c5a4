import t from 'tap'
import { modelObstacles } from '../../runtime/cuda-obstacles.ts'
import { demoModel, fixture } from '../support/repo.ts'

t.test('a model that attention on CUDA takes has no obstacles, whatever the machine', async (t) => {
  t.same(modelObstacles(demoModel('base')), [])
  t.same(modelObstacles(fixture('oracle/llama-heads16/base')), [])
})

t.test('a shape that it refuses is named with what would be right', async (t) => {
  t.match(modelObstacles(fixture('oracle/gemma2/base')), [/head_dim is 24; on CUDA it must be a multiple of 16/])
})

t.test('so is a folder that is no model', async (t) => {
  t.match(modelObstacles(fixture('oracle')), [/config\.json/])
})
