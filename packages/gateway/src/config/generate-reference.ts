import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { editorSchema } from './editor-schema.ts'
import { errorsPage, schemaPage } from './reference-markdown.ts'
import { CARDEA_JSON_SCHEMA } from './schema.ts'
import { MANIFEST_JSON_SCHEMA } from './schema-plugin.ts'

/** Writes the editor schemas and reference pages; `--check` only says whether they are current (exit code 1: no). */

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))

const CONFIG_INTRO = [
  'The file beside `plugins/`, as YAML or JSON. Unknown keys are errors; `cardea config check FILE` names all problems at once.',
  'Durations and sizes carry units: `500ms`, `5s`, `1m`, `1h`, `1d`; `512B`, `64KiB`, `1MiB`, `1GiB`, `64KB`, `10MB`, `1GB`. A bare `0` needs none.',
  'In values, `${NAME}` is an environment variable, `${NAME:-default}` the same with a default for an unset or empty one, `${file:/path}` the text of a file without its last line break, and `$$` a plain `$`. What they stand for becomes a number or boolean where the key wants one.',
].join('\n\n')

const MANIFEST_INTRO =
  'The file that makes a folder a plugin, as JSON; comments are allowed. Variables are not replaced in it.'

/** Path from the repository's root to the text that belongs there. */
export function referenceFiles(): ReadonlyMap<string, string> {
  const json = (value: unknown) => `${formatJson(value)}\n`
  return new Map([
    [
      'packages/gateway/schemas/cardea.schema.json',
      json(editorSchema(CARDEA_JSON_SCHEMA, 'urn:cardea:schema:cardea', true)),
    ],
    [
      'packages/gateway/schemas/plugin.schema.json',
      json(editorSchema(MANIFEST_JSON_SCHEMA, 'urn:cardea:schema:plugin', false)),
    ],
    ['docs/reference/config.md', schemaPage('cardea.yaml', CONFIG_INTRO, CARDEA_JSON_SCHEMA)],
    ['docs/reference/plugin-json.md', schemaPage('plugin.json', MANIFEST_INTRO, MANIFEST_JSON_SCHEMA)],
    ['docs/reference/errors.md', errorsPage()],
  ])
}

const LINE_LENGTH_MAX = 110

/** As the repository's formatter has it: objects over several lines, lists in one where they fit. */
function formatJson(value: unknown, indent = '', before = 0): string {
  const short = JSON.stringify(value)
  if (typeof value !== 'object' || value === null || short === '{}' || short === '[]') return short
  const inner = `${indent}  `
  const lines = (open: string, members: readonly string[], close: string) =>
    `${open}\n${inner}${members.join(`,\n${inner}`)}\n${indent}${close}`
  if (Array.isArray(value)) {
    const members = value.map((item: unknown) => formatJson(item, inner, inner.length))
    const line = `[${members.join(', ')}]`
    const fits = !line.includes('\n') && before + line.length + 1 <= LINE_LENGTH_MAX
    return fits ? line : lines('[', members, ']')
  }
  const members = Object.entries(value).map(([key, member]) => {
    const name = `${JSON.stringify(key)}: `
    return name + formatJson(member, inner, inner.length + name.length)
  })
  return lines('{', members, '}')
}

/** The paths whose file differs from what it should be, or is missing. */
export async function staleFiles(): Promise<string[]> {
  const stale: string[] = []
  for (const [path, text] of referenceFiles()) {
    const current = await readFile(join(ROOT, path), 'utf8').catch(() => null)
    if (current !== text) stale.push(path)
  }
  return stale
}

async function main(check: boolean): Promise<number> {
  const stale = await staleFiles()
  if (check) {
    for (const path of stale) process.stderr.write(`${path} is stale: run this script without --check.\n`)
    return stale.length === 0 ? 0 : 1
  }
  const files = referenceFiles()
  for (const path of stale) {
    await mkdir(dirname(join(ROOT, path)), { recursive: true })
    await writeFile(join(ROOT, path), files.get(path) ?? '')
    process.stdout.write(`Wrote ${path}\n`)
  }
  return 0
}

if (import.meta.main) process.exitCode = await main(process.argv.includes('--check'))
