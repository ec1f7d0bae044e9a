/**
 * Loaded into every process of a gateway (decisions.ts): whoever has just given a record its name, which is the decision,
 * stops itself before its next instruction if a test asks for that. A test that saw the name and sent the signal was late
 * where cores are busy. JavaScript, because each process would load what strips types first: 0.1 s of CPU.
 */

const fs = require('node:fs')
const { syncBuiltinESMExports } = require('node:module')
const { basename, dirname, join } = require('node:path')

const { renameSync } = fs

fs.renameSync = function renameAndStop(from, to) {
  renameSync(from, to)
  if (!/^\d+\.record$/.test(basename(to))) return
  const asked = join(dirname(dirname(to)), 'stop-at-decision')
  if (!fs.existsSync(asked)) return
  fs.rmSync(asked)
  process.kill(process.pid, 'SIGSTOP')
}
syncBuiltinESMExports()
