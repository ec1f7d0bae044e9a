import { join } from 'node:path'
import { findTestFiles, missingPrograms, nothingToRun, runTests } from './support/test-run.ts'

/**
 * `npm test`: runs every *.test.ts of the repository. `npm test -- router http1` runs those with one of the words in
 * their path.
 */

const NODE_MAJOR_MIN = 24

async function main(filters: readonly string[]): Promise<number> {
  const root = join(import.meta.dirname, '..')
  const problem = oldNode() ?? nothingToRun(root, filters)
  if (problem !== null) {
    process.stderr.write(`${problem}\n`)
    return 1
  }
  const files = findTestFiles(root, filters)
  for (const line of missingPrograms(root, files)) process.stdout.write(`${line}\n`)
  return runTests(root, files)
}

function oldNode(): string | null {
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) return null
  return `The tests need Node ${NODE_MAJOR_MIN} or newer, this is ${process.version}: \`npm test\` uses the pinned one.`
}

process.exitCode = await main(process.argv.slice(2))
