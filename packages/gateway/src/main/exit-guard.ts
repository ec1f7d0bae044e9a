import { syncBuiltinESMExports } from 'node:module'
import { GatewayError } from '../base/errors.ts'
import { stderrLines } from '../observe/line-writer.ts'

/**
 * Plugins share their process with everybody's requests. So what would end it throws in a worker, and the gateway itself
 * ends by `endProcess`. A crash in native code is out of reach, and shows nobody whose it was.
 */

type Exit = (code?: number) => never
type Ways = Pick<NodeJS.Process, 'exit' | 'abort' | 'kill' | 'disconnect'> & { reallyExit: Exit }

/** As Node made them. `exit` calls what `process.reallyExit` is at that time. */
const { exit, abort, kill, disconnect, reallyExit } = process as NodeJS.Process & Ways
const WAYS = { exit, abort, kill, disconnect, reallyExit }

/**
 * For our own code, in any process. `isStuck`: a call into the system does not return, from a log that is written to a socket,
 * say, or over a network. `process.exit` waits for the thread that made it, for ever (*measured* on Node 26), so the
 * process kills itself.
 */
export function endProcess(code: number, isStuck = false): never {
  // Listeners of 'exit' may be a plugin's: what they call must not keep the process alive.
  Object.assign(process, WAYS)
  if (isStuck) {
    stderrLines.end()
    process.kill(process.pid, 'SIGKILL')
  }
  return process.exit(code)
}

/** From now on code that wants to end this process gets an exception: `refusal` is told what it called. */
export function guardExits(refusal: (call: string) => Error): void {
  const refuse = (call: string) => (): never => {
    throw refusal(call)
  }
  const guarded = {
    exit: refuse('process.exit()'),
    abort: refuse('process.abort()'),
    reallyExit: refuse('process.reallyExit()'),
    // The worker ends when its channel to the master is closed: by that Node tells itself that the master is gone.
    disconnect(): void {
      if (!isCalledByNode(guarded.disconnect)) throw refusal('process.disconnect()')
      disconnect?.call(process)
    },
    kill(pid: number, signal?: string | number): true {
      if (signal !== 0 && isOurs(Number(pid))) throw refusal(`process.kill(${Number(pid)})`)
      return kill.call(process, pid, signal)
    },
  }
  Object.assign(process, guarded)
  syncBuiltinESMExports()
}

/** Whether Node's own code for channels called that function. Plugins may set what stacks are like. */
function isCalledByNode(called: () => void): boolean {
  const { stackTraceLimit, prepareStackTrace } = Error
  const trace: { stack?: string } = {}
  try {
    Error.stackTraceLimit = 1
    Reflect.deleteProperty(Error, 'prepareStackTrace')
    Error.captureStackTrace(trace, called)
    return CHANNEL_FRAME.test(trace.stack ?? '')
  } finally {
    Error.stackTraceLimit = stackTraceLimit
    if (prepareStackTrace !== undefined) Error.prepareStackTrace = prepareStackTrace
  }
}

const CHANNEL_FRAME = /^ {4}at .*\(node:internal\/child_process:\d+:\d+\)$/m

/** What such a call throws. Its stack says whose code it was. */
export function exitRefused(call: string): GatewayError {
  const { stackTraceLimit } = Error
  // Plugins set it too, and what they call may be far below them.
  Error.stackTraceLimit = STACK_FRAMES_MAX
  try {
    const reason = 'it would end a worker, with the requests of everybody. Throw an error instead.'
    return new GatewayError('PLUGIN_EXIT', `${call} is refused: ${reason}`)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

const STACK_FRAMES_MAX = 100

/** The worker, the master, a group that they are in, or all processes there are. */
function isOurs(pid: number): boolean {
  return [0, 1, process.pid, process.ppid].includes(Math.abs(pid))
}
