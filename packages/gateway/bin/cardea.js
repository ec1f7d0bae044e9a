#!/usr/bin/env node
// The launcher: plain JavaScript that any Node from 20 on can read. It finds a Node that can run the gateway and
// replaces itself with it.

import { spawn } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, sep } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const NODE_MAJOR_MIN = 24

const FLAGS = [
  // Compiled plugin text that is no longer used would stay in V8's cache: a leak with every change.
  '--no-compilation-cache',
  // SIGUSR1 would open the inspector, and with it the process, to anyone on this machine's loopback.
  '--disable-sigusr1',
]

const ownFolder = dirname(dirname(realpathSync(fileURLToPath(import.meta.url))))

function main() {
  const node = findNode()
  if (node === null) {
    return fail(
      `Cardea needs Node ${NODE_MAJOR_MIN} or newer, this is ${process.version}, and no package for ` +
        `${process.platform}-${process.arch} brings one. Install a newer Node, or run ` +
        `"npm install node-${process.platform}-${process.arch}" beside cardea.`,
    )
  }
  const program = findProgram()
  if (program === null) {
    return fail(`Cardea is not complete: ${ownFolder} holds neither dist/ nor src/. Install it again.`)
  }
  const args = [...FLAGS, program, ...process.argv.slice(2)]
  const env = environmentFor(program)
  if (typeof process.execve === 'function') process.execve(node, [node, ...args], env)
  runAsChild(node, args, env)
}

/**
 * Sources lose their types once and not in every process of every start: 36 MB less in each worker (measured), since
 * the compiler is never loaded, and half the time to start. The cache holds code, so it stands where only those write
 * who may write the code itself, and never in a shared temporary folder.
 */
function environmentFor(program) {
  if (!program.endsWith('.ts') || process.env.NODE_COMPILE_CACHE !== undefined) return process.env
  const cache = join(ownFolder, '..', '..', 'node_modules', '.cache', 'cardea')
  return { ...process.env, NODE_COMPILE_CACHE: cache }
}

/** This Node when it is new enough, else the one that a platform package brings, else null. */
function findNode() {
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) return process.execPath
  const platform = `${process.platform}-${process.arch}`
  for (const from of [join(ownFolder, 'package.json'), join(process.cwd(), 'package.json')]) {
    for (const name of [`node-${platform}`, `node-bin-${platform}`]) {
      const node = nodeOfPackage(createRequire(from), name)
      if (node !== null) return node
    }
  }
  return null
}

function nodeOfPackage(require, name) {
  let manifest
  try {
    manifest = require.resolve(`${name}/package.json`)
  } catch {
    return null
  }
  const { version } = JSON.parse(readFileSync(manifest, 'utf8'))
  const node = join(dirname(manifest), 'bin', 'node')
  return Number.parseInt(version, 10) >= NODE_MAJOR_MIN && existsSync(node) ? node : null
}

/** The sources where they are, else what was built from them: Node runs no TypeScript below node_modules. */
function findProgram() {
  const source = join(ownFolder, 'src', 'main', 'cli.ts')
  const built = join(ownFolder, 'dist', 'main', 'cli.js')
  const isInstalled = ownFolder.split(sep).includes('node_modules')
  return [...(isInstalled ? [] : [source]), built].find((file) => existsSync(file)) ?? null
}

/** For a Node without `execve`: a child that gets our signals, and whose end is ours. */
function runAsChild(node, args, env) {
  const child = spawn(node, args, {
    // The channel tells the gateway when this launcher is killed; see cli/serve.ts.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...env, CARDEA_LAUNCHER_PID: String(process.pid) },
  })
  const forward = (signal) => child.kill(signal)
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  child.on('error', (error) => fail(`Cardea cannot run ${node}: ${error.message}`))
  child.on('exit', (code, signal) => {
    for (const forwarded of signals) process.off(forwarded, forward)
    if (signal === null) process.exit(code ?? 1)
    // So that whoever started us sees the signal and not just a number.
    process.kill(process.pid, signal)
  })
}

function fail(sentence) {
  process.stderr.write(`${sentence}\n`)
  process.exitCode = 1
}

main()
