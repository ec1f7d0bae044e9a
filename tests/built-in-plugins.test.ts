import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { readManifest } from '../packages/gateway/src/config/load.ts'
import {
  configFileOf,
  examplesOf,
  missingFrom,
  optionsOf,
  type ReadmeExample,
  undescribed,
  withPorts,
} from './built-ins/readme.ts'
import { runUntilTrue, startEchoUpstream } from './built-ins/run-commands.ts'
import { startGateway } from './support/gateway.ts'
import { requireProgram } from './support/programs.ts'

/** What every plugin of `plugins/` owes: its form, and a README whose examples are true. */

const PLUGINS = join(import.meta.dirname, '../plugins')
const NAMES = readdirSync(PLUGINS, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)

const read = (name: string, file: string): string => readFileSync(join(PLUGINS, name, file), 'utf8')

for (const name of NAMES) {
  describe(`plugins/${name}`, () => {
    const manifest = JSON.parse(read(name, 'plugin.json')) as Record<string, unknown>

    test('has the public form: its name, scope route, a README and a test', () => {
      assert.equal(manifest.name, name)
      assert.equal(manifest.scope, 'route', 'a built-in plugin runs only where a route names it')
      assert.ok(typeof manifest.description === 'string' && manifest.description.length > 10)
      for (const file of ['README.md', 'plugin.ts', 'plugin.test.ts']) {
        assert.ok(existsSync(join(PLUGINS, name, file)), file)
      }
    })

    test('describes every option, in config_schema and in the README', async () => {
      // Gateways take it for granted that it is a schema, until they use it.
      const checked = await readManifest(join(PLUGINS, name))
      assert.ok(checked.ok, JSON.stringify(checked))
      assert.ok(typeof manifest.config_schema === 'object')
      assert.deepEqual(undescribed(manifest.config_schema), [])
      const readme = read(name, 'README.md')
      const isNamed = (option: string): boolean =>
        new RegExp(`\`([^\`]*[^\`\\w])?${option}\\b[^\`]*\``).test(readme)
      const unnamed = optionsOf(manifest.config_schema).filter((option) => !isNamed(option))
      assert.deepEqual(unnamed, [], 'options that README.md does not name')
    })

    test('has a README whose examples do what they say', async (t) => {
      if (requireProgram(t, 'curl') === null) return
      const examples = examplesOf(read(name, 'README.md'))
      const commands = examples.flatMap((example) => example.commands)
      assert.ok(
        commands.some(({ line, prints }) => line.startsWith('curl ') && prints.length > 0),
        'README.md shows no config with a curl command and, in comment lines below it, what that prints',
      )
      const upstreamPort = await startEchoUpstream(t)
      for (const example of examples) await runExample(t, example, upstreamPort)
    })
  })
}

async function runExample(t: TestContext, example: ReadmeExample, upstreamPort: number): Promise<void> {
  const config = configFileOf(example, 0, upstreamPort)
  const gateway = await startGateway(t, { config, args: ['--strict'] })
  for (const command of example.commands) {
    const line = withPorts(command.line, gateway.port, upstreamPort)
    await runUntilTrue(gateway.dir.path, { ...command, line })
  }
  await gateway.stop()
}

test('examplesOf() reads configs, the commands that follow them, and what these print', () => {
  const block = (kind: string, ...lines: string[]): string =>
    [`\`\`\`${kind}`, ...lines, '```', ''].join('\n')
  const markdown = [
    block('yaml', 'plugins: {}'),
    'and',
    block('sh', 'curl -i a \\', "  -H 'b: c'", '# HTTP/1.1 200 OK', '', 'cat d', '# e…'),
    block('yaml', 'routes: []'),
  ].join('\n')
  assert.deepEqual(examplesOf(markdown), [
    {
      config: 'plugins: {}\n',
      commands: [
        { line: "curl -i a -H 'b: c'", prints: ['HTTP/1.1 200 OK'] },
        { line: 'cat d', prints: ['e…'] },
      ],
    },
    { config: 'routes: []\n', commands: [] },
  ])
  assert.throws(() => examplesOf(block('sh', 'curl a')), /follow no config/)
  assert.deepEqual(missingFrom('a: b\r\nc: d\n', ['a: b', 'c: …', 'a', 'e…']), ['a', 'e…'])
})

test('optionsOf() and undescribed() look into what options consist of', () => {
  const schema = {
    type: 'object',
    properties: {
      a: { type: 'string', description: 'x' },
      b: {
        type: 'array',
        description: 'x',
        items: { type: 'object', properties: { c: { type: 'string' } } },
      },
    },
  }
  assert.deepEqual(optionsOf(schema), ['a', 'b', 'c'])
  assert.deepEqual(undescribed(schema), ['config_schema.b.c'])
})
