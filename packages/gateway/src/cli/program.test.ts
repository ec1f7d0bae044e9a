import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
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

test('what sentences of errors and help tell people to run is a command', async () => {
  const readme = await readFile(new URL('../../../../README.md', import.meta.url), 'utf8')
  const cures = Object.values(ERRORS).map(({ cause, cure }) => `${cause} ${cure}`)
  const known = pathsOf(testProgram())
  const text = [cliPage(), readme, ...cures].join('\n')
  const named = [...text.matchAll(/[`"](cardea (?!--)[a-z]+(?: [a-z]+)?)/g)].map(
    ([, command = '']) => command,
  )
  assert.ok(named.length > 5)
  for (const command of named) {
    assert.ok(
      known.some((path) => path === command || command.startsWith(`${path} `)),
      command,
    )
  }
})
