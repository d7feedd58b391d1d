package tencentchat

import (
	"encoding/json"
	"slices"

	"ringback/shared/provider"
)

// EventTypes returns the commands that have a page below 1047/34354, and those
// that Tencent's and public SDKs name. The set grows.
func (Provider) EventTypes() []provider.EventType {
	return slices.Concat(bots(), oneToOne(), groupMessages(), groups(), topics(), people(), officialAccounts(), others())
}

func bots() []provider.EventType {
	return []provider.EventType{
		{
			Name:   "Bot.OnGroupMessage",
			About:  "A member spoke to one or more chatbots in a group; not sent if all members were spoken to.",
			Sample: json.RawMessage(`{"CallbackCommand":"Bot.OnGroupMessage","GroupId":"@TGS#2LOREM7","Type":"Public","From_Account":"mina","Operator_Account":"mina","Random":3111222333,"MsgSeq":91,"MsgTime":1760000000,"OnlineOnlyFlag":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"@@RBT#helper what is open today?"}}],"AtRobots_Account":["@RBT#helper"],"CloudCustomData":"","EventTime":1760000000456}`),
		},
		{
			Name:   "Bot.OnC2CMessage",
			About:  "Somebody wrote to a chatbot in a one-to-one chat.",
			Sample: json.RawMessage(`{"CallbackCommand":"Bot.OnC2CMessage","From_Account":"mina","To_Account":"@RBT#helper","MsgSeq":48374,"MsgRandom":2837546,"MsgTime":1760000000,"MsgKey":"48374_2837546_1760000000","OnlineOnlyFlag":0,"SendMsgResult":0,"ErrorInfo":"send msg succeed","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"hello"}}],"CloudCustomData":"","EventTime":1760000000456}`),
		},
		{Name: "Chatbot.OnC2CSignalMessage", About: "A signal was sent to a chatbot in a one-to-one chat."},
	}
}

func oneToOne() []provider.EventType {
	return []provider.EventType{
		{Name: "C2C.CallbackBeforeSendMsg", About: "A one-to-one message is about to be sent; Tencent waits for a decision and is told to allow it."},
		{
			Name:   "C2C.CallbackAfterSendMsg",
			About:  "A one-to-one message was sent, or failed: look at SendMsgResult.",
			Sample: json.RawMessage(`{"CallbackCommand":"C2C.CallbackAfterSendMsg","From_Account":"mina","To_Account":"noor","MsgSeq":48374,"MsgRandom":2837546,"MsgTime":1760000000,"MsgKey":"48374_2837546_1760000000","MsgId":"144115233406643804-1760000000-2837546","OnlineOnlyFlag":0,"SendMsgResult":0,"ErrorInfo":"send msg succeed","UnreadMsgNum":7,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"see you at six"}}],"CloudCustomData":"","EventTime":1760000000456}`),
		},
		{Name: "C2C.CallbackAfterMsgReport", About: "One-to-one messages were read."},
		{
			Name:   "C2C.CallbackAfterMsgWithDraw",
			About:  "A one-to-one message was recalled.",
			Sample: json.RawMessage(`{"CallbackCommand":"C2C.CallbackAfterMsgWithDraw","From_Account":"mina","To_Account":"noor","MsgKey":"48374_2837546_1760000000","UnreadMsgNum":6}`),
		},
		{
			Name:   "C2C.CallbackAfterC2CMsgExtension",
			About:  "The extension of a one-to-one message was set, deleted or cleared (OperateType 1, 2, 3).",
			Sample: json.RawMessage(`{"CallbackCommand":"C2C.CallbackAfterC2CMsgExtension","From_Account":"mina","To_Account":"noor","MsgKey":"48374_2837546_1760000000","OperateType":1,"ExtensionList":[{"Key":"vote","Value":"yes","Seq":1}],"Seq":1,"EventTime":1760000003000}`),
		},
	}
}

func groupMessages() []provider.EventType {
	return []provider.EventType{
		{Name: "Group.CallbackBeforeSendMsg", About: "A group message is about to be sent; Tencent waits for a decision and is told to allow it."},
		{
			Name:   "Group.CallbackAfterSendMsg",
			About:  "A group message was sent.",
			Sample: json.RawMessage(`{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":"@TGS#2LOREM7","Type":"Public","From_Account":"mina","Operator_Account":"mina","Random":3111222333,"MsgSeq":92,"MsgTime":1760000000,"MsgId":"144115198244471703-1760000000-3111222333","OnlineOnlyFlag":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"good morning"}}],"CloudCustomData":"","EventTime":"1760000000456"}`),
		},
		{Name: "Group.CallbackAfterRecallMsg", About: "Group messages were recalled."},
		{Name: "Group.CallbackSendMsgException", About: "A group message could not be sent."},
		{Name: "Group.CallbackAfterReadReceipt", About: "Members read group messages that ask for a receipt."},
		{Name: "Group.CallbackAfterGroupMsgExtension", About: "The extension of a group message was set, deleted or cleared (OperateType 1, 2, 3)."},
	}
}

func groups() []provider.EventType {
	return []provider.EventType{
		{Name: "Group.CallbackBeforeCreateGroup", About: "A group is about to be created; Tencent waits for a decision and is told to allow it."},
		{Name: "Group.CallbackAfterCreateGroup", About: "A group was created."},
		{Name: "Group.CallbackBeforeApplyJoinGroup", About: "Somebody asks to join a group; Tencent waits for a decision and is told to allow it."},
		{Name: "Group.CallbackBeforeInviteJoinGroup", About: "Somebody is invited to a group; Tencent waits for a decision and is told to allow it."},
		{
			Name:   "Group.CallbackAfterNewMemberJoin",
			About:  "Members joined a group.",
			Sample: json.RawMessage(`{"CallbackCommand":"Group.CallbackAfterNewMemberJoin","GroupId":"@TGS#2LOREM7","Type":"Public","JoinType":"Apply","Operator_Account":"mina","NewMemberList":[{"Member_Account":"noor"}],"EventTime":1760000004000}`),
		},
		{
			Name:   "Group.CallbackAfterMemberExit",
			About:  "Members left a group or were removed (ExitType Quit or Kicked).",
			Sample: json.RawMessage(`{"CallbackCommand":"Group.CallbackAfterMemberExit","GroupId":"@TGS#2LOREM7","Type":"Public","ExitType":"Quit","Operator_Account":"noor","ExitMemberList":[{"Member_Account":"noor"}],"EventTime":"1760000005000"}`),
		},
		{Name: "Group.CallbackAfterGroupFull", About: "A group reached its number of members."},
		{Name: "Group.CallbackAfterGroupDestroyed", About: "A group was disbanded."},
		{Name: "Group.CallbackAfterGroupInfoChanged", About: "The profile of a group was changed."},
		{Name: "Group.CallbackAfterChangeGroupOwner", About: "A group has another owner."},
		{Name: "Group.CallbackAfterMemberFieldChanged", About: "The profile of a member in a group was changed."},
		{Name: "Group.CallbackAfterGroupAttrChanged", About: "Custom attributes of a group were changed."},
		{Name: "Group.CallbackOnMemberStateChange", About: "Members of a live group went on or off line."},
		{Name: "Group.CallbackOnDailyGroupQuotaAlarm", About: "The groups created today come near the app's limit."},
	}
}

func topics() []provider.EventType {
	return []provider.EventType{
		{Name: "Group.CallbackBeforeCreateTopic", About: "A topic is about to be created; Tencent waits for a decision and is told to allow it."},
		{Name: "Group.CallbackAfterCreateTopic", About: "A topic was created in a community."},
		{Name: "Group.CallbackAfterTopicDestroyed", About: "A topic was deleted."},
		{Name: "Group.CallbackAfterTopicInfoChanged", About: "The profile of a topic was changed."},
	}
}

func people() []provider.EventType {
	return []provider.EventType{
		{
			Name:   "State.StateChange",
			About:  "A user went on or off line, or changed the custom status; frequent.",
			Sample: json.RawMessage(`{"CallbackCommand":"State.StateChange","EventTime":1760000001000,"Info":{"Action":"Disconnect","To_Account":"mina","Reason":"LinkClose"}}`),
		},
		{Name: "Profile.CallbackPortraitSet", About: "A user's profile was changed."},
		{Name: "Sns.CallbackPrevFriendAdd", About: "Somebody asks for friendship; Tencent waits for a decision and is told to allow it."},
		{Name: "Sns.CallbackPrevFriendResponse", About: "Somebody answers a request for friendship; Tencent waits for a decision and is told to allow it."},
		{Name: "Sns.CallbackFriendAdd", About: "Friends were added."},
		{Name: "Sns.CallbackFriendDelete", About: "Friends were deleted."},
		{Name: "Sns.CallbackBlackListAdd", About: "Users were put on a block list."},
		{Name: "Sns.CallbackBlackListDelete", About: "Users were taken off a block list."},
	}
}

func officialAccounts() []provider.EventType {
	return []provider.EventType{
		{Name: "OfficialAccount.CallbackBeforeCreateOfficialAccount", About: "An official channel is about to be created; Tencent waits for a decision and is told to allow it."},
		{Name: "OfficialAccount.CallbackAfterCreateOfficialAccount", About: "An official channel was created."},
		{Name: "OfficialAccount.CallbackAfterOfficialAccountInfoChanged", About: "The profile of an official channel was changed."},
		{Name: "OfficialAccount.CallbackAfterOfficialAccountDestroyed", About: "An official channel was deleted."},
		{Name: "OfficialAccount.CallbackBeforeAddSubscriber", About: "Somebody is about to subscribe to an official channel; Tencent waits for a decision and is told to allow it."},
		{Name: "OfficialAccount.CallbackAfterAddSubscriber", About: "Somebody subscribed to an official channel."},
		{Name: "OfficialAccount.CallbackAfterDeleteSubscriber", About: "Somebody unsubscribed from an official channel."},
		{Name: "OfficialAccount.CallbackAfterOfficialAccountFull", About: "An official channel reached its number of subscribers."},
		{Name: "OfficialAccount.CallbackBeforeSendMsg", About: "A message of an official channel is about to be sent; Tencent waits for a decision and is told to allow it."},
		{Name: "OfficialAccount.CallbackAfterSendMsg", About: "A message of an official channel was sent."},
		{Name: "OfficialAccount.CallbackAfterMsgWithDraw", About: "A message of an official channel was recalled."},
	}
}

func others() []provider.EventType {
	return []provider.EventType{
		{
			Name:   "Push.OfflinePush",
			About:  "A message was pushed to a device, arrived there or was clicked (PushStage 1, 2, 3).",
			Sample: json.RawMessage(`{"CallbackCommand":"Push.OfflinePush","EventType":1,"EventTime":1760000001,"From_Account":"mina","To_Account":"noor","PushPlatform":1,"PushStage":2,"MsgKey":"48374_2837546_1760000000","MsgSeq":48374,"MsgRandom":2837546,"MsgTime":1760000000,"PushID":"p-7f31","ErrCode":0,"ErrInfo":""}`),
		},
		{
			Name:   "Push.AllMemberPush",
			About:  "A push to all users, a tag or single users was sent, arrived or was clicked.",
			Sample: json.RawMessage(`{"CallbackCommand":"Push.AllMemberPush","EventType":1,"TaskId":"t-90ab","TaskTime":1760000000,"EventTime":1760000002,"To_Account":"noor","PushPlatform":1,"PushStage":1,"ErrCode":0,"ErrInfo":""}`),
		},
		{Name: "ContentCallback.ResultNotify", About: "Content moderation came to a result."},
		{Name: "Alert.RequestOverLimit", About: "The app called the REST API more often than allowed."},
	}
}
