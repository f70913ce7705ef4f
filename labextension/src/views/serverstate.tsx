/**
 * What is wrong with the server half, and how to put it right. Shown in place; never as a popup.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { ICloudModel } from '../tokens';
import { API_VERSION, type Problem } from '../wire';
import { ActionButton } from './button';
import { useModel, useView } from './context';
import { ProblemBox } from './problem';

/** The command that shows what is wrong on the server's side. */
const DOCTOR = 'educloud doctor';
const ENABLE = 'jupyter server extension enable educloud_lab';

/** The problem to show, and the command that helps; null while all is well. */
export function serverDiagnosis(
  model: ICloudModel,
  trans: TranslationBundle
): { problem: Problem; command: string } | null {
  const state = model.serverState;
  switch (state) {
    case 'connecting':
    case 'ok':
      return null;
    case 'missing':
      return {
        command: ENABLE,
        problem: {
          code: state,
          what: trans.__(
            'This Jupyter server has no lab machines: its half of educloud-lab is not there.'
          ),
          kept: trans.__('machines and files in the cloud are not touched.'),
          next_step: trans.__(
            'Install educloud-lab in the environment that runs the Jupyter server, run the command below, then restart the server (not only the kernel).'
          )
        }
      };
    case 'too-old':
      return {
        command: 'pip install --upgrade educloud-lab',
        problem: {
          code: state,
          what: trans.__(
            'The server half (version %1) is older than this page.',
            model.serverVersion
          ),
          kept: trans.__('your machine and your files are not touched.'),
          next_step: trans.__(
            'Update educloud-lab where the Jupyter server runs, then restart the server. This page speaks version %1 of the interface.',
            API_VERSION
          )
        }
      };
    case 'too-new':
      return {
        command: '',
        problem: {
          code: state,
          what: trans.__(
            'The server half (version %1) is newer than this page.',
            model.serverVersion
          ),
          kept: trans.__('your machine and your files are not touched.'),
          next_step: trans.__(
            'Reload this page. If that does not help, clear the cached page in the browser (Ctrl+Shift+R) or update the extension.'
          )
        }
      };
    case 'unreachable':
      return {
        command: '',
        problem: {
          code: state,
          what: trans.__('The Jupyter server does not answer.'),
          kept: trans.__(
            'your machine goes on by itself, and your files stay.'
          ),
          next_step: trans.__(
            'Check that the server still runs; this page connects again by itself.'
          )
        }
      };
    case 'problem':
      return {
        command: DOCTOR,
        problem: model.serverProblem ?? {
          code: state,
          what: trans.__('The server half cannot work.'),
          kept: '',
          next_step: trans.__('Run the command below in a terminal.')
        }
      };
  }
}

export function ServerState(): React.JSX.Element | null {
  const { trans } = useView();
  const model = useModel();
  const [asking, setAsking] = React.useState(false);
  const diagnosis = serverDiagnosis(model, trans);
  if (diagnosis === null) {
    return null;
  }
  const kind = model.serverState === 'unreachable' ? 'warning' : 'error';
  return (
    <ProblemBox problem={diagnosis.problem} kind={kind}>
      {diagnosis.command ? (
        <pre className="educloud-command">{diagnosis.command}</pre>
      ) : null}
      <div className="educloud-buttons">
        <ActionButton
          name="retry"
          label={trans.__('Check again')}
          busy={asking}
          onPress={() => {
            setAsking(true);
            void model.refresh().finally(() => setAsking(false));
          }}
        />
      </div>
    </ProblemBox>
  );
}
