#!/usr/bin/env node
// The launcher: plain JavaScript that any Node from 20 on can read. It finds a Node that can run the gateway and
// replaces itself with it.

import { spawn } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import * as modules from 'node:module'
import { dirname, join, sep } from 'node:path'
import process from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'

const NODE_MAJOR_MIN = 24

// SIGUSR1 would open the inspector, and with it the process, to anyone on this machine's loopback. What runs plugin code
// gets more flags from the gateway (src/main/child-slot.ts).
const FLAGS = ['--disable-sigusr1']

const ownFolder = dirname(dirname(realpathSync(fileURLToPath(import.meta.url))))
const isInstalled = ownFolder.split(sep).includes('node_modules')

async function main() {
  const node = findNode()
  if (node === null) {
    return fail(
      `Cardea needs Node ${NODE_MAJOR_MIN} or newer, this is ${process.version}, and no package for ` +
        `${process.platform}-${process.arch} brings one. Install a newer Node, or run ` +
        `"npm install node-${process.platform}-${process.arch}" beside cardea.`,
    )
  }
  const program = await findProgram()
  if (program === null) {
    return fail(`Cardea is not complete: ${ownFolder} holds neither dist/ nor src/. Install it again.`)
  }
  const isTest = process.argv[2] === 'plugin' && process.argv[3] === 'test'
  if (isTest && node === process.execPath) return runHere(program)
  const args = [...FLAGS, program, ...process.argv.slice(2)]
  const env = isInstalled && !isTest ? process.env : withCompileCache()
  if (typeof process.execve === 'function') process.execve(node, [node, ...args], env)
  runAsChild(node, args, env)
}

/**
 * Somebody waits for tests, and they need none of the flags: this process itself runs them. That is one start of Node
 * less.
 */
async function runHere(program) {
  const env = withCompileCache()
  process.env.NODE_COMPILE_CACHE = env.NODE_COMPILE_CACHE
  modules.enableCompileCache(env.NODE_COMPILE_CACHE)
  await import(pathToFileURL(program).href)
}

/**
 * V8 compiles once and not in every process of every start. Where the sources themselves run they lose their types once
 * as well: 36 MB less in each worker (measured), since the compiler is never loaded. The cache holds code, so it stands
 * where only those write who may write the code itself, and never in a shared temporary folder.
 */
function withCompileCache() {
  if (process.env.NODE_COMPILE_CACHE !== undefined) return process.env
  const root = isInstalled ? dirname(ownFolder) : join(ownFolder, '..', '..', 'node_modules')
  return { ...process.env, NODE_COMPILE_CACHE: join(root, '.cache', 'cardea') }
}

/** This Node when it is new enough, else the one that a platform package brings, else null. */
function findNode() {
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) return process.execPath
  const platform = `${process.platform}-${process.arch}`
  for (const from of [join(ownFolder, 'package.json'), join(process.cwd(), 'package.json')]) {
    for (const name of [`node-${platform}`, `node-bin-${platform}`]) {
      const node = nodeOfPackage(modules.createRequire(from), name)
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

/** What the package brings; beside the sources what was made of them as they are now, else the sources themselves. */
async function findProgram() {
  if (isInstalled) {
    const shipped = join(ownFolder, 'dist', 'main', 'cli.js')
    return existsSync(shipped) ? shipped : null
  }
  const source = join(ownFolder, 'src', 'main', 'cli.ts')
  if (!existsSync(source)) return null
  try {
    const { builtProgram } = await import('../build/bundle.js')
    return builtProgram()
  } catch {
    // A mistake in the sources: Node says best what it is. Or nothing can be written here.
    return source
  }
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

await main()
