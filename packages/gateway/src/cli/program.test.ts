import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { ERRORS } from '../base/errors.ts'
import { CLI_PAGE, cliPage } from './generate-cli-reference.ts'
import { createProgram } from './program.ts'
import { PLAIN } from './text.ts'

function testProgram(): Command {
  return createProgram({
    version: '0',
    io: { out() {}, err() {} },
    paint: PLAIN,
    confirm: null,
    isBusy: () => false,
    onExit() {},
  })
}

function pathsOf(command: Command, path = 'cardea'): string[] {
  const below = command.commands.flatMap((child) => pathsOf(child, `${path} ${child.name()}`))
  return below.length === 0 ? [path] : below
}

test('docs/reference/cli.md is what the commands say of themselves', async () => {
  assert.equal(await readFile(CLI_PAGE, 'utf8'), cliPage(), 'run "npm run reference"')
})

test('every command is in the page, with an example', () => {
  const page = cliPage()
  for (const path of pathsOf(testProgram())) {
    const section = page.split(`\n## ${path}\n`)[1]?.split('\n## ')[0] ?? ''
    assert.match(section, new RegExp(`^Examples?:\\n {2}${path}`, 'm'), path)
  }
})

/** What the program says of arguments that it refuses; fails the test when it does not. */
async function refusalOf(...args: readonly string[]): Promise<string> {
  const said: string[] = []
  const program = testProgram().exitOverride()
  program.configureOutput({ writeErr: (text) => void said.push(text) })
  await assert.rejects(program.parseAsync(['node', 'cardea', ...args]), { name: 'CommanderError' })
  return said.join('')
}

for (const [url, said] of [
  ['localhost:3000', /no http:\/\/ or https:\/\/ in front\. Did you mean http:\/\/localhost:3000\?/],
  ['http://localhost:3000/api', /may not have a path/],
  ['http://', /is not a URL/],
] as const) {
  test(`cardea --to ${url} is refused at once: no file could mend it`, async () => {
    assert.match(await refusalOf('--to', url), said)
  })
}

for (const args of [
  ['serve', '--to', 'http://localhost:3000'],
  ['--to', 'http://localhost:3000', 'status'],
  ['plugin', 'list', '--port', '80'],
]) {
  test(`cardea ${args.join(' ')} is refused: the command would not look at it`, async () => {
    assert.match(await refusalOf(...args), /go without a command/)
  })
}

test('cardea help COMMAND shows the help of the command', async () => {
  const shown: string[] = []
  const program = testProgram().exitOverride()
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeOut: (text) => void shown.push(text) })
  }
  await assert.rejects(program.parseAsync(['node', 'cardea', 'help', 'serve']), { name: 'CommanderError' })
  assert.match(shown.join(''), /^Usage: cardea serve/)
})

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))

test('what errors, help, README and guides tell people to run is a command', async () => {
  const guides = (await readdir(join(ROOT, 'docs/guides'))).map((name) => join('docs/guides', name))
  const pages = ['README.md', 'README.zh-CN.md', ...guides].filter((name) => name.endsWith('.md'))
  const texts = await Promise.all(pages.map((name) => readFile(join(ROOT, name), 'utf8')))
  const cures = Object.values(ERRORS).map(({ cause, cure }) => `${cause} ${cure}`)
  const known = pathsOf(testProgram())
  const text = [cliPage(), ...texts, ...cures].join('\n')
  const named = [
    ...text.matchAll(/[`"](?:npx )?(cardea (?!--)[a-z]+(?: [a-z]+)?)|^npx (cardea [a-z]+(?: [a-z]+)?)/gm),
  ].map(([, quoted, line]) => quoted ?? line ?? '')
  assert.ok(named.length > 30)
  for (const command of named) {
    assert.ok(
      known.some((path) => path === command || command.startsWith(`${path} `)),
      command,
    )
  }
})
