import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConfigProblem } from '../config/types.ts'
import { failedByFiles } from './change-result.ts'
import { logReport, reportOf } from './report.ts'
import { folderOf } from './test-support.ts'

/** A problem in each line of a file of so many. */
const wrong = (file: string, count: number): ConfigProblem[] =>
  Array.from({ length: count }, (_, index) => ({
    code: 'CONFIG_INVALID' as const,
    message: `wrong ${index + 1}`,
    file,
    line: index + 1,
    column: 1,
    key: '',
    given: '',
    expected: '',
    nearest: null,
  }))

test('of very many problems a change has the first thousand with their lines, and says how many more there are', async (t) => {
  const lines = Array.from({ length: 1_200 }, (_, index) => `line${index + 1}:\n`)
  const root = await folderOf(t, { 'cardea.yaml': lines.join('') })
  const { problems } = failedByFiles(wrong(`${root}/cardea.yaml`, 1_200))
  assert.equal(problems.length, 1_001)
  assert.equal(problems[999]?.frame, '1000 | line1000:\n     | ^')
  assert.equal(problems[1_000]?.message, '200 more problems are not listed.')
})

test('what stands for many problems of a config is counted as so many', () => {
  const [first, last] = wrong('/absent/cardea.yaml', 2)
  assert.ok(first !== undefined && last !== undefined)
  const listed = wrong('/absent/cardea.yaml', 1_000)
  const { problems } = failedByFiles([...listed, { ...first, omitted: 29_000 }, last])
  assert.equal(problems.at(-1)?.message, '29001 more problems are not listed.')
})

test('the log has the first twenty problems of a change, and says that there are more', () => {
  const said: string[] = []
  const log = { debug() {}, info() {}, warn() {}, error: (message: string) => void said.push(message) }
  const failed = failedByFiles(wrong('/absent/cardea.yaml', 25))
  const base = { cause: { kind: 'files', files: [] }, who: 'files', live: 3 } as const
  logReport(log, reportOf(base, { kind: 'failed', number: 4, failed }), 3)
  assert.equal(said.length, 21)
  assert.equal(said[19], 'The change failed at config, generation 3 serves on: wrong 20')
  assert.match(
    said[20] ?? '',
    /^The change failed, generation 3 serves on: these are the first 20 problems; "cardea config check" /,
  )
})
