import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'node:test'

/**
 * The system programs that tests may ask for, with what they serve for. Each has the name of its Debian package; so
 * .ci/run installs exactly those that tests declare.
 */
export const PROGRAMS = {
  caddy: 'a peer of the benchmark',
  chromium: 'the browser that the dashboard is tested in',
  curl: "the examples in the built-in plugins' READMEs",
  haproxy: 'a peer of the benchmark',
  nginx: 'a peer of the benchmark',
  'redis-server': 'the shared state of several nodes',
  wrk: 'the load generator of the benchmark',
} as const

export type Program = keyof typeof PROGRAMS

/** Debian puts servers into sbin, which is not on every user's PATH. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** The absolute path of a program, or null when this machine lacks it. */
export function findProgram(program: Program, path = process.env.PATH ?? ''): string | null {
  for (const folder of [...path.split(delimiter), ...SYSTEM_FOLDERS]) {
    const file = join(folder, program)
    if (folder !== '' && isExecutable(file)) return file
  }
  return null
}

/** One line: what is missing, what for, and how to get it. */
export function missingProgram(program: Program): string {
  return `${program} is missing (${PROGRAMS[program]}): apt-get install ${program}`
}

/**
 * The absolute path of a system program. Without it the test is skipped with a line that says how to install it; null is
 * returned and the test must end. In CI nothing is skipped in silence: there it throws.
 *
 * Tests call it with a literal name, since `programsNeeded` and .ci/run find it by its text.
 */
export function requireProgram(
  t: Pick<TestContext, 'skip'>,
  program: Program,
  find: (program: Program) => string | null = findProgram,
  isCI = process.env.CI === 'true',
): string | null {
  const file = find(program)
  if (file !== null) return file
  if (isCI) throw new Error(missingProgram(program))
  t.skip(missingProgram(program))
  return null
}

/** The programs that a test file's text declares by `requireProgram(t, 'NAME')`. */
export function programsNeeded(text: string): Program[] {
  const names = [...text.matchAll(/requireProgram\(\w+, '([a-z-]+)'/g)].map(([, name]) => name)
  return (Object.keys(PROGRAMS) as Program[]).filter((program) => names.includes(program))
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
