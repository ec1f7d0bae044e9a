import assert from 'node:assert/strict'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { findProgram, type Program, programsNeeded, requireProgram } from './programs.ts'
import { withTempDir } from './temp-dir.ts'

const absent = (): null => null
const declaration = (program: string): string => `const file = ${'require'}Program(t, '${program}')\n`

test('requireProgram() throws in CI when the program is missing', () => {
  assert.throws(() => requireProgram({ skip: () => {} }, 'wrk', absent, true), {
    message: 'wrk is missing (the load generator of the benchmark): apt-get install wrk',
  })
})

test('requireProgram() skips elsewhere with the line that says how to install it', () => {
  const skipped: (string | undefined)[] = []
  const t = { skip: (message?: string) => void skipped.push(message) }
  assert.equal(requireProgram(t, 'nginx', absent, false), null)
  assert.deepEqual(skipped, ['nginx is missing (a peer of the benchmark): apt-get install nginx'])
})

test('requireProgram() returns the path when the program is there', () => {
  const t = { skip: () => assert.fail('skipped') }
  assert.equal(
    requireProgram(t, 'nginx', () => '/usr/sbin/nginx', true),
    '/usr/sbin/nginx',
  )
})

test('findProgram() passes over a file that cannot be executed', async () => {
  await using dir = await withTempDir()
  // A name that no system folder holds, so that only the folder given decides.
  const program = 'cardea-test-program' as Program
  await dir.write({ [program]: '#!/bin/sh\n' })
  assert.equal(findProgram(program, dir.path), null)
  await chmod(join(dir.path, program), 0o755)
  assert.equal(findProgram(program, `/nowhere:${dir.path}`), join(dir.path, program))
})

test('programsNeeded() finds what a test file declares, once, and nothing unknown', () => {
  const text = declaration('wrk') + declaration('nginx') + declaration('wrk') + declaration('unknown')
  assert.deepEqual(programsNeeded(text), ['nginx', 'wrk'])
  assert.deepEqual(programsNeeded('nginx, wrk'), [])
})
