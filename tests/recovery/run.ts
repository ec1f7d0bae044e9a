import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { ProgramScope } from '../support/program-scope.ts'
import { type CampaignResult, campaign } from './campaign.ts'

/**
 * `npm run kills`: kills processes of a gateway at random moments of its changes, under load. Exits 1 when the workers do
 * not come to serve one and the same decided generation, a request fails that no killed worker had, or one passes without
 * its security plugin. `-- --rounds 1000 --seed SEED` does more, or the same once more.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '100' }, seed: { type: 'string' } },
  })
  const { seed = randomBytes(4).toString('hex') } = values
  say(`seed ${seed}`)
  await using scope = new ProgramScope(say)
  const result = await campaign(scope, {
    seed,
    rounds: Number(values.rounds),
    onProgress: (round, sofar) => say(`round ${round}: ${summary(sofar)}`),
  })
  say(`at the end: ${summary(result)}`)
  for (const fault of result.faults) say(`! ${fault}`)
  scope.passed = result.faults.length === 0
  return scope.passed ? 0 : 1
}

function summary({ killed, generations, answered, lost, faults }: CampaignResult): string {
  const kills = Object.entries(killed).map(([name, count]) => `${name} ${count}`)
  return `killed ${kills.join(', ')}; ${generations} generations; ${answered} answers, ${lost} lost, ${faults.length} faults`
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

process.exitCode = await main()
