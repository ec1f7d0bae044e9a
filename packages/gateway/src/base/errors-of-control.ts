import { type ErrorKind, gateway } from './error-kinds.ts'

/** Between the command line and a gateway that runs. */
export const CONTROL_ERRORS = {
  CONTROL_SOCKET_FAILED: gateway(
    0,
    'never',
    'The control socket cannot be opened',
    'Another gateway runs in the same folder, something else stands at `.cardea/control.sock`, or this user may not write there.',
    'Traffic is not affected, but no command reaches the gateway. The error names the obstacle: stop the other gateway, or remove what is in the way.',
  ),
  CONTROL_REQUEST_INVALID: gateway(
    0,
    'never',
    'A request to the control socket is not valid',
    'It is no JSON, is too long, names no known command, or lacks what the command needs.',
    'Use the `cardea` of the version that runs; packages/gateway/src/protocol/control.ts has every request.',
  ),
  CONTROL_BUSY: gateway(
    0,
    'always',
    'The control socket has all the connections that it takes',
    'Something opens connections and does not close them.',
    'Close what watches and is not needed, and try again.',
  ),
  CONTROL_REFUSED: gateway(
    0,
    'never',
    'This user may not use the control socket',
    'It belongs to the user that runs the gateway.',
    'Run the command as that user.',
  ),
  CONTROL_LOST: gateway(
    0,
    'idempotent',
    'The gateway did not answer a command',
    'Its supervisor ended while it worked on it, or took too long.',
    '`cardea history` shows whether a change went through; the log says why the supervisor ended.',
  ),
  GATEWAY_ENDING: gateway(
    0,
    'never',
    'The gateway ends, and changes no more',
    'It was told to end and finishes the requests that it has; what was asked of it came too late.',
    'Ask again once it has been started again; `cardea history` shows then whether a change that was under way went through.',
  ),
  GATEWAY_NOT_RUNNING: gateway(
    0,
    'never',
    'No gateway runs here',
    'Nothing listens on `.cardea/control.sock` beside the config file.',
    'Start one with `cardea serve`, or name the config file of the one you mean with `--config`.',
  ),
} as const satisfies Record<string, ErrorKind>
