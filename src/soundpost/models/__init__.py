"""Network families by name, imported when asked for (see registry.pick).

Each class takes (settings, n_classes) and carries its settings dataclass as the attribute Settings.
"""

MODELS: dict[str, str] = {
    "argus_aux_skip_attention": "soundpost.models.argus:AuxSkipAttention",
    "argus_fcnet": "soundpost.models.argus_second_level:FCNet",
    "argus_rnn_aux_skip_attention": "soundpost.models.argus:RnnAuxSkipAttention",
    "argus_skip_attention": "soundpost.models.argus:SkipAttention",
    "compact": "soundpost.models.compact:Compact",
    "erc2019_dcase": "soundpost.models.erc2019_dcase:Dcase",
    "erc2019_plain": "soundpost.models.erc2019:Plain",
    "erc2019_pyramid": "soundpost.models.erc2019:Pyramid",
    "ex4sperans_1d": "soundpost.models.ex4sperans:Ex4sperans1d",
    "ex4sperans_2d": "soundpost.models.ex4sperans:Ex4sperans2d",
    "ex4sperans_backbone": "soundpost.models.ex4sperans_backbone:Ex4speransBackbone",
    "inception": "soundpost.models.inception:Inception",
    "own": "soundpost.models.own_network:OwnNetwork",
    "qrfaction": "soundpost.models.qrfaction:Qrfaction",
    "qrfaction_stacker": "soundpost.models.qrfaction_stacker:Stacker",
    "resnet": "soundpost.models.resnet:ResNet",
    "simongrest": "soundpost.models.simongrest:Simongrest",
    "timm": "soundpost.models.timm_body:TimmNetwork",
}
