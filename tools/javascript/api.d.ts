// Names for the API's responses, whose types `make check-js` generates from the console's OpenAPI document.

type Operations = import('../../.tools/js/openapi').operations;

declare namespace Api {
  type Response<Name extends keyof Operations> = Operations[Name]['responses'][200]['content']['application/json'];
  /** Parameters as they are written into an address. */
  type Query<Name extends keyof Operations> = Partial<
    Record<keyof NonNullable<Operations[Name]['parameters']['query']>, string | number>
  >;
  type Body<Name extends keyof Operations> = Operations[Name] extends {
    requestBody?: {content: {'application/json': infer Content}};
  }
    ? Content
    : never;

  type Overview = Response<'overview'>;
  type Sensor = Overview['sensors'][number];
  type SensorDetail = Response<'sensor'>;
  type SensorProblem = Sensor['problems'][number];
  type RecentTick = Sensor['recent'][number];
  type Batches = Response<'batches'>;
  type OpenBatch = Batches['batches'][number];
  type Edit = SensorDetail['edits'][number];
  type TickOutline = Response<'ticks'>['ticks'][number];
  type Tick = Response<'tick'>;
  type RunRequest = Tick['requests'][number];
  type PartitionsResult = Tick['dynamic_partitions_request_results'][number];
  type RunOutline = Response<'runs'>['runs'][number];
  type Run = Response<'run'>;
  type Explanation = Response<'why'>;
  type Match = Response<'search'>['matches'][number];
  type BackfillOutline = Response<'backfills'>['backfills'][number];
  type Backfill = Response<'backfill'>;
  type BackfillRuns = Response<'backfill_runs'>;
  type BackfillRun = BackfillRuns['runs'][number];
  type PoolDetails = Response<'pool'>;
  type Pool = PoolDetails['pool'];
  type PoolHolder = PoolDetails['holders'][number];
  type PoolWaiter = PoolDetails['waiters'][number];
  type AssetEvent = Response<'assets'>['assets'][number];
  type DeadLetter = Response<'dead_letters'>['dead_letters'][number];
  type Finding = Response<'doctor'>['findings'][number];
  type Graph = Response<'graph'>;
  type BulkResult = Response<'bulk'>['results'][number];
  type Preview = Response<'preview'> & {tick: PreviewedTick};
  /** Record that an evaluation would leave; a preview has not all of it. */
  type PreviewedTick = Partial<Tick> & {left_out?: {requests?: number}};
}
