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
