import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { editorSchema } from './editor-schema.ts'
import { errorsIndex, errorsPage, schemaPage } from './reference-markdown.ts'
import { CARDEA_JSON_SCHEMA } from './schema.ts'
import { MANIFEST_JSON_SCHEMA } from './schema-plugin.ts'

/** Writes the editor schemas and reference pages; `--check` only says whether they are current (exit code 1: no). */

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))

const CONFIG_INTRO = [
  'The file beside `plugins/`, as YAML or JSON. Unknown keys are errors; `cardea config check FILE` names all problems at once.',
  'Durations and sizes carry units: `500ms`, `5s`, `1m`, `1h`, `1d`; `512B`, `64KiB`, `1MiB`, `1GiB`, `64KB`, `10MB`, `1GB`. A bare `0` needs none.',
  'In values, `${NAME}` is an environment variable, `${NAME:-default}` the same with a default for an unset or empty one, `${file:/path}` the text of a file without its last line break (the gateway watches it as it does this file), and `$$` a plain `$`; none may hold another. Inside of `{ }` and `[ ]` YAML wants quotes around them: `{ port: "${PORT}" }`. What they stand for becomes a number or boolean where the key wants one.',
  'Editors complete and check it by [its JSON Schema](../../packages/gateway/schemas/cardea.schema.json): name its path in a first line `# yaml-language-server: $schema=PATH`, or as `$schema`.',
].join('\n\n')

const MANIFEST_INTRO =
  'The file that makes a folder a plugin, as JSON; comments are allowed. Variables are not replaced in it. For editors `$schema` names the path of [its JSON Schema](../../packages/gateway/schemas/plugin.schema.json).'

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

const PART_BEGIN =
  '<!-- Made by packages/gateway/src/config/generate-reference.ts; change base/errors.ts, not this part. -->'
const PART_END = '<!-- The end of what is made. -->'

/** Pages that somebody writes, but for one part between two marks: path to that part. */
const MADE_PARTS: ReadonlyMap<string, () => string> = new Map([
  ['docs/guides/troubleshooting.md', errorsIndex],
])

/** `page` with the part between its marks replaced. Throws when it does not have them. */
export function withMadePart(page: string, part: string): string {
  const begin = page.indexOf(PART_BEGIN)
  const end = page.indexOf(PART_END)
  if (begin === -1 || end < begin)
    throw new Error(`Cannot find the part to make: no "${PART_BEGIN}" before "${PART_END}"`)
  return `${page.slice(0, begin)}${PART_BEGIN}\n\n${part}\n\n${page.slice(end)}`
}

/** As `referenceFiles`, with the pages of which only a part is made. */
async function wantedFiles(): Promise<ReadonlyMap<string, string>> {
  const wanted = new Map(referenceFiles())
  for (const [path, part] of MADE_PARTS) {
    wanted.set(path, withMadePart(await readFile(join(ROOT, path), 'utf8'), part()))
  }
  return wanted
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
  for (const [path, text] of await wantedFiles()) {
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
  const files = await wantedFiles()
  for (const path of stale) {
    await mkdir(dirname(join(ROOT, path)), { recursive: true })
    await writeFile(join(ROOT, path), files.get(path) ?? '')
    process.stdout.write(`Wrote ${path}\n`)
  }
  return 0
}

if (import.meta.main) process.exitCode = await main(process.argv.includes('--check'))
