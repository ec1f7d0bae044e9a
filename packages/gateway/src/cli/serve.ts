import { Master, type MasterOptions } from '../main/master.ts'
import { stderrLines } from '../observe/line-writer.ts'
import { SERVE_OPTIONS_DEFAULT, type ServeSource } from '../protocol/master-supervisor.ts'
import type { CommandIo } from './io.ts'
import { becomesMaster } from './serves-here.ts'
import { renderStart } from './start-output.ts'

export interface ServeCommand {
  readonly source: ServeSource
  /** Ends with exit code 1 when what the files say cannot be served at start. */
  readonly strict: boolean
  readonly io: CommandIo
}

/**
 * `cardea serve` and `cardea --to URL`: runs the gateway in this process (the master) and its children until a signal
 * ends it. The start lines go to stdout, logs and problems to stderr. Returns the exit code; see `Master.run`.
 */
export async function serve({ source, strict, io }: ServeCommand): Promise<number> {
  return runMaster({
    serve: { ...SERVE_OPTIONS_DEFAULT, source, strict },
    onReady: (addresses, summary) => io.out(renderStart(addresses, summary)),
  })
}

/** Makes this process the master of a gateway until that ends. Once per process. */
export async function runMaster(options: MasterOptions): Promise<number> {
  becomesMaster()
  const master = new Master(options)
  process.on('uncaughtException', (error) => {
    // Its `exit` listener takes the children along.
    stderrLines.write(`The master made a mistake and ends: ${error.stack}\n`)
    process.exit(1)
  })
  endWithLauncher(() => master.drain('The launcher ended'))
  return master.run()
}

/** On an old Node the launcher stays as our parent; when it is killed there is nobody left to stop us. */
function endWithLauncher(onEnd: () => void): void {
  if (process.env.CARDEA_LAUNCHER_PID !== String(process.ppid) || process.channel === undefined) return
  process.once('disconnect', onEnd)
  process.channel?.unref()
}
