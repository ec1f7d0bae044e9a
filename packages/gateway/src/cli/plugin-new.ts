import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { builtInPluginsDirectory } from '../base/own-folders.ts'
import { systemErrorCode } from '../base/system-error.ts'
import type { CommandIo } from './io.ts'

export interface PluginNewOptions {
  /** The plugins directory, absolute; it is made when it is not there. */
  readonly dir: string
  readonly io: CommandIo
  /** Default: those that came with this program. */
  readonly builtInDirectory?: string
}

const NAME_LENGTH_MAX = 100
const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/

/**
 * `cardea plugin new NAME`: writes a plugin folder that works as it is. An existing folder is never touched.
 * Returns the exit code.
 */
export async function pluginNew(name: string, options: PluginNewOptions): Promise<number> {
  const { dir, io, builtInDirectory = builtInPluginsDirectory() } = options
  const refusal = await refusalOf(name, dir, builtInDirectory)
  if (refusal !== null) {
    io.err(`Cannot make plugin "${name}": ${refusal}\n`)
    return 1
  }
  const folder = join(dir, name)
  try {
    await mkdir(dir, { recursive: true })
  } catch (error) {
    const isFile = systemErrorCode(error) === 'EEXIST'
    io.err(`Cannot make ${folder}: ${isFile ? `${dir} is a file, and no folder.` : messageOf(error)}\n`)
    return 1
  }
  try {
    // Fails on whatever is there, also on what came since somebody looked.
    await mkdir(folder)
  } catch (error) {
    const exists = systemErrorCode(error) === 'EEXIST'
    const reason = exists ? 'it is there already; choose another name or remove it first.' : messageOf(error)
    io.err(`Cannot make ${folder}: ${reason}\n`)
    return 1
  }
  const files = templates(name)
  try {
    // plugin.json last: a gateway that watches the directory takes the folder for a plugin from then on.
    for (const [file, text] of files) await writeFile(join(folder, file), text, { flag: 'wx' })
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    io.err(`Cannot write into ${folder}: ${messageOf(error)}\n`)
    return 1
  }
  io.out(
    `Made plugin "${name}" in ${folder}:\n` +
      files.map(([file]) => `  ${file}\n`).join('') +
      'It runs on every route. Edit plugin.ts; `cardea plugin list` shows where it stands in the chains, and ' +
      `\`cardea plugin test ${name}\` tries it.\n`,
  )
  return 0
}

async function refusalOf(name: string, dir: string, builtIn: string): Promise<string | null> {
  if (name.length > NAME_LENGTH_MAX || !NAME.test(name)) {
    return (
      'a name is kebab-case, such as "rate-limit": lower-case letters and digits in words joined by "-", starting ' +
      `with a letter, at most ${NAME_LENGTH_MAX} characters.`
    )
  }
  // There the folder itself says best that it exists.
  if (dir === builtIn) return null
  const isBuiltIn = await stat(join(builtIn, name)).then(
    () => true,
    () => false,
  )
  return isBuiltIn
    ? 'a built-in plugin has that name, and two of a name would be refused. Choose another.'
    : null
}

function templates(name: string): [file: string, text: string][] {
  const manifest = {
    name,
    version: '0.1.0',
    description: 'Adds a greeting header to every response',
    config: { greeting: 'hello' },
    config_schema: {
      type: 'object',
      properties: {
        greeting: {
          type: 'string',
          pattern: '^[!-~]+( [!-~]+)*$',
          description: 'The value of the x-greeting header',
        },
      },
      required: ['greeting'],
    },
  }
  return [
    ['README.md', readme(name)],
    ['plugin.ts', source(name)],
    ['plugin.test.ts', testSource()],
    ['plugin.json', `${JSON.stringify(manifest, null, 2)}\n`],
  ]
}

function source(name: string): string {
  return `import type { Context, Middleware } from '@cardea/sdk'

/** What config_schema in plugin.json describes. */
interface Config {
  greeting: string
}

/** Called once for each config that this plugin runs with; the hooks of what it returns run for every exchange. */
export function PluginMain(config: Config): Middleware<Config> {
  return {
    name: '${name}',
    handle(ctx: Context) {
      ctx.response.headers.set('x-greeting', config.greeting)
      return true // Go on. To answer here instead: return ctx.response.json({ … })
    },
  }
}
`
}

function testSource(): string {
  return `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pluginFolder, testGateway } from '@cardea/sdk/testing'

test('every response has the greeting, whoever answers', async () => {
  await using gateway = await testGateway({
    plugins: [pluginFolder(import.meta.dirname, { greeting: 'good morning' })],
    upstream: () => ({ status: 404, body: 'nothing here' }),
  })
  const response = await gateway.fetch('/somewhere')
  assert.equal(response.status, 404)
  assert.equal(response.headers.get('x-greeting'), 'good morning')
  assert.equal(await response.text(), 'nothing here')
})

test('a greeting that no header can hold is refused', async () => {
  const plugins = [pluginFolder(import.meta.dirname, { greeting: 'line\\nbreak' })]
  await assert.rejects(testGateway({ plugins }), /greeting/)
})
`
}

function readme(name: string): string {
  return `# ${name}

Adds \`x-greeting\` to every response.

| option | default | meaning |
| --- | --- | --- |
| \`greeting\` | \`hello\` | The value of the header |

Options are set in \`cardea.yaml\`:

\`\`\`yaml
plugins:
  ${name}: { config: { greeting: good morning } }
\`\`\`
`
}
