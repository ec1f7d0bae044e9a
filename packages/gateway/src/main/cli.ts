import { readFileSync } from 'node:fs'
import { keepFromBlocking } from '../base/own-outputs.ts'
import { systemErrorCode } from '../base/system-error.ts'
import { confirmOn } from '../cli/confirm.ts'
import { createProgram } from '../cli/program.ts'
import { servesHere } from '../cli/serves-here.ts'
import { COLORS, PLAIN } from '../cli/text.ts'
import { wantsColor } from '../config/render-problems.ts'

/** The command line's process: cli/program.ts has the commands. */

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

// Whoever reads may leave (`cardea history | head`), and a disk may be full. A gateway serves on.
process.stderr.on('error', () => {})
process.stdout.on('error', (error) => {
  if (servesHere()) return
  const hasLeft = systemErrorCode(error) === 'EPIPE'
  if (!hasLeft) process.stderr.write(`Cannot write the result: ${error.message}\n`)
  // Of a command that still works nobody knows how it would have ended.
  process.exit(hasLeft ? (process.exitCode ?? 1) : 1)
})

const program = createProgram({
  version: version(),
  io: {
    out(text) {
      // What a gateway tells must not hold it up; and Node waits for terminals.
      if (servesHere()) keepFromBlocking(process.stdout)
      process.stdout.write(text)
    },
    err: (text) => void process.stderr.write(text),
  },
  paint: wantsColor(process.stdout, process.env) ? COLORS : PLAIN,
  confirm: confirmOn(process.stdin, process.stderr),
  isBusy: () => process.stdout.writableNeedDrain,
  onExit(exitCode, hasChildren) {
    // A master must not wait for what its children hold open; everyone else's output must get out first.
    if (hasChildren) process.exit(exitCode)
    process.exitCode = exitCode
  },
})

await program.parseAsync()
