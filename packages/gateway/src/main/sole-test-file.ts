import { relative } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { LeftOpen } from './left-open.ts'
import { soleTestFile } from './test-imports.ts'

/**
 * Stands for the only test file of a run in this process (cli/plugin-test.ts). Node passes over what a file throws behind
 * its first test there; here it is the failure of a test that bears the file's name.
 */

const file = soleTestFile()
const watch = new LeftOpen(relative('', file))
try {
  await import(pathToFileURL(file).href)
} catch (error) {
  test(relative('', file), () => {
    throw error
  })
}
watch.evaluated()
