import type { TestContext } from 'node:test'
import type { GatewayCommandContext } from '../../packages/gateway/src/cli/gateway-command.ts'
import { testContext } from '../../packages/gateway/src/cli/test-answers.ts'
import type { ControlCommand } from '../../packages/gateway/src/protocol/control.ts'
import { testControl } from './control-server.ts'

export type Answers = Partial<Record<ControlCommand['command'], unknown>>

/** Runs a command against a control server that has these answers. */
export async function runWithAnswers(
  t: TestContext,
  answers: Answers,
  command: (context: GatewayCommandContext) => Promise<number>,
  json = false,
) {
  const asked: ControlCommand[] = []
  const { directory } = await testControl(t, {
    handle: async (given) => {
      asked.push(given)
      const answer = answers[given.command]
      if (answer instanceof Error) throw answer
      return answer
    },
  })
  const { context, printed } = testContext({ directory, json })
  const code = await command(context)
  return { code, asked, ...printed, out: printed.out.replaceAll(directory, 'DIR') }
}
